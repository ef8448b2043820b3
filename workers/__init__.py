"""What knows Celery: the canvas, its dispatch, and the workers that run satellites. `celery -A workers worker`."""

from workers.app import app

__all__ = ["app"]
