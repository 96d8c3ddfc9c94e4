"""Celery's settings, nothing else.

https://docs.celeryq.dev/en/stable/userguide/configuration.html
"""

import sys

from beat_schedule.schedule import entries
from tickfence.amqp_address import parse_amqp
from tickfence.celery_environment import ignore_other_programs
from tickfence.redis_access.address import kombu_address, kombu_tls
from tickfence.redis_access.broker_transport import follow_switches
from tickfence.settings import load

for _line in ignore_other_programs():
    print(f"warning: {_line}", file=sys.stderr)
_settings = load()

# Content.
accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"

# Broker. Reports must be back within 2 s of it, so every wait is short.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
follow_switches()
broker_channel_error_retry = True  # whatever the broker answers, a worker tries again, and does not end
_rabbitmq = parse_amqp(_settings.celery_broker_url)
if _rabbitmq is None:
    broker_url, _where = kombu_address(_settings.celery_broker_url)
    broker_use_ssl = kombu_tls(_settings.celery_broker_url)
    broker_transport_options = {
        "global_keyprefix": _settings.keys.prefix,
        "priority_steps": [0],  # one key a queue: with more, each BRPOP asks for all of them
        "socket_connect_timeout": 1,
        "socket_timeout": 3,  # above the 1 s that a BRPOP waits
        "socket_keepalive": True,
        "health_check_interval": 2,
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.25,
        **_where,
    }
else:
    broker_url = _rabbitmq.url
    broker_use_ssl = _rabbitmq.tls
    broker_connection_timeout = 1
    broker_heartbeat = 2  # two that are missed are the end of a connection
    broker_transport_options = {"host": _rabbitmq.host, "read_timeout": 3, "write_timeout": 3}
broker_read_url = broker_write_url = broker_url  # Celery itself would take CELERY_BROKER_URL as it stands
task_default_delivery_mode = "transient"  # a message is not worth a broker's disk
task_publish_retry = False  # a message that cannot be sent now is worthless later

# Worker. A node keeps warm state per symbol; prefork children would not share it.
worker_pool = "solo"
worker_concurrency = 1  # also the number of messages that RabbitMQ hands over ahead of time, per unit of prefetch
worker_consumer = "tasks.consumer:Consumer"
worker_prefetch_multiplier = 1
worker_send_task_events = True  # of tasks that ask for them; the fast cycle does not
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_enable_remote_control = True
worker_cancel_long_running_tasks_on_connection_loss = True
result_expires = None  # no results, so no daily clean-up task either
task_ignore_result = True
task_store_errors_even_if_ignored = False

# Beat.
beat_scheduler = "beat_schedule.scheduler:HRWScheduler"
beat_schedule = entries(_settings)
beat_max_loop_interval = 1
enable_utc = True
timezone = "UTC"
