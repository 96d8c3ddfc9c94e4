"""The system of :mod:`tools.benchmarks.peers.locked_app` with celery-redbeat as its scheduler, which allows standbys.

    celery -A tools.benchmarks.peers.redbeat_app beat

Configured as https://redbeat.readthedocs.io/en/latest/config.html says, with two values that it leaves open:

- ``redbeat_lock_timeout``: how long there is no leader after a kill. The default is 25 minutes, five times Celery's
  longest sleep. Here it is 2 s; only whole seconds are possible.
- ``beat_max_loop_interval``: the longest sleep, and how often a standby asks for the lock. RedBeat sleeps until the next
  entry that it knows; if all entries were due, for a whole period. With 50 ms its entries keep 97 % of their rate,
  with 1 s or more 70 %. With 10 ms they keep 97 % too, for twice the CPU.
"""

from __future__ import annotations

from tools.benchmarks.peers.locked_app import app

__all__ = ["app"]

app.conf.update(
    beat_scheduler="redbeat.RedBeatScheduler",
    beat_max_loop_interval=0.05,
    redbeat_redis_url=app.conf.broker_url,
    redbeat_redis_options={},
    redbeat_lock_timeout=2,
)
