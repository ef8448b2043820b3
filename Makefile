.PHONY: check fmt pins bench

check:  ## everything that CI checks
	uv run ruff format --check
	uv run ruff check
	uv run mypy
	uv run lint-imports
	uv run pytest

fmt:  ## format, and mend what can be mended
	uv run ruff format
	uv run ruff check --fix

pins:  ## renew the exact versions in pyproject.toml
	uv run python scripts/pins.py

bench:  ## measure, beside the peers
	uv run python -m benchmarks
