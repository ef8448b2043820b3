"""An application served in this process, for tests that change its constants or move its executions by hand."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

from api.app import create_app
from api.services import services_of
from state_manager.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient

    from api.services import Services

NOWHERE = "redis://127.0.0.1:1"


@dataclass(frozen=True)
class Served:
    """An application, its port, and a client that calls it without the network."""

    port: int
    client: FlaskClient
    services: Services


@contextmanager
def listening(app: Flask) -> Iterator[int]:
    """Serve an application with a thread a connection; yield its port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serving(database_uri: str, redis_uri: str = NOWHERE) -> Iterator[Served]:
    """Serve an application over a database, at first without Redis."""
    app = create_app(Settings(database_uri=database_uri, redis_uri=redis_uri, environment="test", log_level="error"))
    services = services_of(app)
    try:
        with listening(app) as port:
            yield Served(port, app.test_client(), services)
    finally:
        services.hub.closing = True
        services.engine.dispose()
        services.redis.close()
