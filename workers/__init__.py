"""The part that knows Celery: canvases, their dispatch, and the workers: `celery -A workers worker`."""

from workers.app import app

__all__ = ["app"]
