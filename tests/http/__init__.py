"""Tests of the satellites that call other services."""
