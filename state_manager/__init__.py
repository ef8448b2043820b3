"""The domain: clusters, their states and the store that remembers them. Knows PostgreSQL, neither Flask nor Celery."""
