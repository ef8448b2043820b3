"""Tests of chat-completion."""
