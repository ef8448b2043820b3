"""Plots, drawn with matplotlib in an environment of its own."""
