"""Celery's settings, with a reason for each.

They follow from one rule: PostgreSQL has the state, and a message is only a hint that something may be ready.
"""

from state_manager.config import settings
from state_manager.redis import DEFAULT_URI

_settings = settings()

broker_url = _settings.redis_uri or DEFAULT_URI
# Results are read from the state store, so that a chord's join is decided where its last part is recorded.
result_backend = "workers.backend:StateBackend"
imports = ["workers.tasks", "workers.celery_signals"]
# Beat runs the reconciler in its own process: no queue that is busy or stuck can hold it up.
beat_scheduler = "workers.beat:ReconcilerScheduler"

# Messages carry ids only: JSON is enough, and unpickling a message could run its sender's code.
task_serializer = result_serializer = "json"
accept_content = ["json"]

# A queue of its own name, so that a Redis shared with another Celery application mixes nothing up.
task_default_queue = "satellites"
task_create_missing_queues = True

# Acknowledged when received: what a lost worker held is found in PostgreSQL, and a worker that holds
# unacknowledged messages does not survive the loss of Redis (kombu 5.7).
task_acks_late = False
# Rerunning at once what killed its worker would kill the next one too.
task_reject_on_worker_lost = False
# Losing Redis for a moment is no reason to kill work whose outcome goes to PostgreSQL.
worker_cancel_long_running_tasks_on_connection_loss = False

# A message that no child can run now stays in Redis, where an idle worker finds it.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True
worker_concurrency = _settings.worker_concurrency

# Without timeouts a lost connection blocks for as long as TCP waits.
broker_transport_options = {
    "socket_timeout": 30,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "retry_on_timeout": True,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_pool_limit = _settings.redis_pool_size
# A publisher gives up soon: what it could not send is still ready in PostgreSQL.
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0.1, "interval_max": 0.2}
