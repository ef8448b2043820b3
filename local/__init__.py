"""The whole system on one machine: spawns command lines, imports neither Flask nor Celery."""
