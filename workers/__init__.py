"""Everything that uses Celery: canvases, their dispatch, and the workers: `celery -A workers worker`."""

from workers.app import app

__all__ = ["app"]
