"""Renew the exact versions in pyproject.toml: `make pins`.

A lock file names the registry that it was made against, so it stays out of the repository;
`[tool.uv] constraint-dependencies` holds the versions alone.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
BEGIN, END = "# pins:begin\n", "# pins:end\n"
EXPORT = "uv export --upgrade --all-groups --no-hashes --no-emit-project --no-header --no-annotate --quiet"


def renew(pyproject: str, requirements: str) -> str:
    """Put these requirements, a line each, between the marks; a requirement keeps its marker."""
    pins = "".join(f"  {quoted(line)},\n" for line in requirements.splitlines() if "==" in line)
    before, begin, rest = pyproject.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("pyproject.toml has no marks '# pins:begin' and '# pins:end'")
    return f"{before}{BEGIN}constraint-dependencies = [\n{pins}]\n{END}{after}"


def quoted(line: str) -> str:
    """Write a requirement as a TOML string."""
    return '"' + line.strip().replace('"', "'") + '"'


def main() -> None:
    """Let uv choose the newest versions without the old pins, then write them down; put all back if it fails."""
    old = PYPROJECT.read_text()
    PYPROJECT.write_text(renew(old, ""))
    try:
        requirements = subprocess.check_output(EXPORT.split(), text=True, cwd=PYPROJECT.parent)
        PYPROJECT.write_text(renew(old, requirements))
    except BaseException:
        PYPROJECT.write_text(old)
        raise


if __name__ == "__main__":
    main()
