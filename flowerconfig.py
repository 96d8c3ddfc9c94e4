"""Flower's options, which `celery -A tasks flower` reads in this folder.

https://flower.readthedocs.io/en/latest/config.html

An option on the command line wins over this file. So does FLOWER_<OPTION> in the environment, but only because this file
reads it: Flower itself lets the file win.
"""

from __future__ import annotations

import os
from functools import wraps

from flower.app import Flower
from tornado.ioloop import PeriodicCallback

from tickfence.monitoring import logs
from tickfence.settings import load

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")  # Flower's own default is every network
max_tasks = int(os.environ.get("FLOWER_MAX_TASKS", "10000"))  # kept in memory; some minutes of 1,000 symbols
purge_offline_workers = int(os.environ.get("FLOWER_PURGE_OFFLINE_WORKERS", "3600"))  # s; for nodes that stay away
logging = os.environ.get("FLOWER_LOGGING", load().nt_log_level.lower())
tasks_columns = os.environ.get("FLOWER_TASKS_COLUMNS", "name,args,worker,state,runtime,received,uuid")

ASK_EVERY_MS = 2000


def unknown_workers(flower: Flower) -> list[str]:
    """Names of the live workers that have not answered Flower since their process started."""
    names = []
    for name, worker in flower.events.state.workers.items():
        answers = flower.workers.get(name, {})
        known = answers.get("stats", {}).get("pid") == worker.pid and "active_queues" in answers
        if worker.alive and not known:
            names.append(name)
    return names


def ask_unknown_workers() -> None:
    """Make Flower ask workers that started after it.

    Flower asks all workers for their queues and statistics once, when it starts; after that a worker only if somebody
    opens its page (https://github.com/mher/flower/issues/1139). There is no option for it, and nothing but ``start``
    gets at the Flower of this process, so this wraps ``start``.
    """
    start = Flower.start

    @wraps(start)
    def start_and_ask(flower: Flower) -> None:
        def ask() -> None:
            for name in unknown_workers(flower):
                flower.update_workers(workername=name)

        PeriodicCallback(ask, ASK_EVERY_MS).start()
        start(flower)

    Flower.start = start_and_ask


logs.configure(load().nt_log_level, role="flower")
ask_unknown_workers()
