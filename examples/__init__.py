"""Clusters to run with `python run.py`, and the satellites that they use."""
