"""Measurements that anyone can run: `uv run python -m benchmarks.engine`."""
