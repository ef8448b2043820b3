"""`python -m state_manager.secrets rotate`: bring every secret under the newest of the master keys."""

from __future__ import annotations

import argparse
import sys

from state_manager.config import settings
from state_manager.secrets.configured import configured_keys
from state_manager.secrets.rotation import rotate
from state_manager.store.engine import connect
from state_manager.store.outages import DATABASE_ERRORS, describe, is_outage

FAULTS_SHOWN = 20


def main() -> None:
    """Carry out the command line; exit with a message where that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m state_manager.secrets", description=__doc__)
    parser.add_argument("command", choices=["rotate"])
    parser.parse_args()
    loaded, keys = settings(), configured_keys(settings())
    if loaded.database_uri is None or keys is None:
        raise SystemExit("a rotation needs DATABASE_URI, and SECRETS_KEY or SECRETS_KEY_FILE")
    engine = connect(loaded.database_uri, pool_size=1)
    try:
        rotated = rotate(engine, keys)
    except DATABASE_ERRORS as error:
        if not is_outage(error):
            raise
        raise SystemExit(f"the database does not answer: {describe(error)}; run it again") from None
    finally:
        engine.dispose()
    print(f"{rotated.count} secrets are now under master key {keys.newest.id}")  # noqa: T201
    if rotated.faults:
        print(*rotated.faults[:FAULTS_SHOWN], sep="\n", file=sys.stderr)  # noqa: T201
        raise SystemExit(f"{len(rotated.faults)} secrets are still under another key")


if __name__ == "__main__":
    main()
