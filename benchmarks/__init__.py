"""Benchmarks that anyone can run: `uv run python -m benchmarks` compares this project with its peers."""
