"""The limits of names and values. Pure."""

from __future__ import annotations

NAME = r"[A-Za-z_][A-Za-z0-9_-]{0,127}"
"""The names of secrets: those that an expression may write plainly, as `secrets.NAME`."""

LARGEST_BYTES = 64 * 1024

MOST = 100
"""Most secrets that one document may bring."""
