"""The whole system on one machine, as child processes; imports neither Flask nor Celery."""
