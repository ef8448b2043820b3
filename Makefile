.PHONY: check chaos mutants fmt pins bench

check:  ## format, lint, types, import contracts, tests
	.ci/run check

chaos:  ## the tests that break or overload whole systems, and long random walks
	.ci/run chaos

mutants:  ## break the code in known ways: a test must fail each time
	uv run python -m tests.mutants

fmt:  ## format, and mend what can be mended
	uv run ruff format
	uv run ruff check --fix

pins:  ## renew the exact versions in pyproject.toml
	uv run python scripts/pins.py

bench:  ## measure, beside the peers
	uv run python -m benchmarks
