"""Secrets: encrypted under a master key that the database never sees, each by a data key of its own."""
