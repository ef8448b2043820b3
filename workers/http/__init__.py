"""Requests of satellites to other services: only to addresses that are allowed, within limits of time and size."""
