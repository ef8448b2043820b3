"""The Celery application, and the names of its tasks."""

from __future__ import annotations

from celery import Celery

RUN_SATELLITE = "run_satellite"
DISPATCH_EXECUTION = "dispatch_execution"
PROBE = "probe"

app = Celery("exosphere")
app.config_from_object("celeryconfig")
