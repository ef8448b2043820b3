"""Tests of send-email."""
