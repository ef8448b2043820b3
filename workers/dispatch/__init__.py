"""From what is ready to Celery messages: canvases, batches, and how long satellites usually take."""
