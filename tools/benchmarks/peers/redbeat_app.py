"""The system of :mod:`tools.benchmarks.peers.locked_app` with celery-redbeat as its scheduler, which allows for stand-bys.

    celery -A tools.benchmarks.peers.redbeat_app beat

Set by https://redbeat.readthedocs.io/en/latest/config.html, with two values that its documentation leaves open:

- ``redbeat_lock_timeout``: its own would be 25 minutes, five times Celery's longest sleep between two looks at the
  schedule, and so the time without a leader. Here it is 2 s; whole seconds are what it takes.
- ``beat_max_loop_interval``: that longest sleep, and how often a stand-by asks for the lock. RedBeat sleeps until the
  next entry that it saw when it looked; after a look at which all were due, for a whole period from then on. With
  50 ms its entries keep 97 % of their rate, with 1 s or more 70 %; with 10 ms no more, for twice the CPU.
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
