"""Flower's options, which `celery -A tasks flower` reads in this folder.

https://flower.readthedocs.io/en/latest/config.html

An option on the command line goes before. So does FLOWER_<OPTION> in the environment, which has to be asked for here:
Flower itself lets this file win.
"""

from __future__ import annotations

import os
from functools import wraps

from flower.app import Flower
from tornado.ioloop import PeriodicCallback

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")  # Flower's own default is every network
max_tasks = int(os.environ.get("FLOWER_MAX_TASKS", "10000"))  # kept in memory; of 1,000 symbols, some minutes
purge_offline_workers = int(os.environ.get("FLOWER_PURGE_OFFLINE_WORKERS", "3600"))  # s; nodes that do not come back
tasks_columns = os.environ.get("FLOWER_TASKS_COLUMNS", "name,args,worker,state,runtime,received,uuid")

ASK_EVERY_MS = 2000


def newcomers(flower: Flower) -> list[str]:
    """Names of live workers of whose present process Flower has no answers yet."""
    names = []
    for name, worker in flower.events.state.workers.items():
        answers = flower.workers.get(name, {})
        known = answers.get("stats", {}).get("pid") == worker.pid and "active_queues" in answers
        if worker.alive and not known:
            names.append(name)
    return names


def ask_newcomers() -> None:
    """Make the Flower that is started in this process do so, every two seconds while there are any."""
    start = Flower.start

    @wraps(start)
    def start_asking(flower: Flower) -> None:
        def ask() -> None:
            for name in newcomers(flower):
                flower.update_workers(workername=name)

        PeriodicCallback(ask, ASK_EVERY_MS).start()
        start(flower)

    Flower.start = start_asking


ask_newcomers()
