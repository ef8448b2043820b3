"""Celery messages for what is ready: canvases, batches, and the usual durations of satellites."""
