"""The table of all settings for the README: `uv run python -m state_manager.settings_table`."""

from __future__ import annotations

from state_manager.config import table


def readme_table() -> str:
    """Return the README's table of settings, as Markdown."""
    rows = [
        f"| `{one.env}` | `{one.path}` | {f'`{one.default}`' if one.default else ''} | {one.meaning} |"
        for _, one in table()
    ]
    return "\n".join(["| variable | in `config.yaml` | default | meaning |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(readme_table())  # noqa: T201
