"""Tests of run-command."""
