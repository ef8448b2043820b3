"""Connections to PostgreSQL."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, text

SOCKET_TIMEOUT_S = 5


def connect(database_uri: str, *, pool_size: int = 10) -> Engine:
    """Open a pool of autocommitting connections: each transition is one statement, one round trip, one commit.

    Connections are made when first used, so an engine may be built while the database is away.
    """
    return create_engine(
        _with_driver(database_uri),
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # an error's text goes to the log, and the parameters are clients' documents
        pool_size=pool_size,
        max_overflow=0,
        connect_args={
            "connect_timeout": SOCKET_TIMEOUT_S,
            "application_name": "exosphere",
            "keepalives_idle": SOCKET_TIMEOUT_S,
            "keepalives_interval": SOCKET_TIMEOUT_S,
            "keepalives_count": 3,
        },
    )


def ping(engine: Engine) -> None:
    """Raise unless the database answers."""
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _with_driver(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else uri
