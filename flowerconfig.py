"""Flower's options, which `celery -A tasks flower` reads in this folder.

https://flower.readthedocs.io/en/latest/config.html

An option on the command line wins over this file. So does FLOWER_<OPTION> in the environment, but only because this file
reads it: Flower itself lets the file win.
"""

from __future__ import annotations

import os
from functools import wraps

from flower.app import Flower
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import PeriodicCallback
from tornado.routing import Matcher, Rule
from tornado.web import RequestHandler

from tickfence.monitoring import host_names, logs
from tickfence.settings import load

address = os.environ.get("FLOWER_ADDRESS", "127.0.0.1")  # Flower's own default is every network
max_tasks = int(os.environ.get("FLOWER_MAX_TASKS", "10000"))  # kept in memory; some minutes of 1,000 symbols
purge_offline_workers = int(os.environ.get("FLOWER_PURGE_OFFLINE_WORKERS", "3600"))  # s; for nodes that stay away
logging = os.environ.get("FLOWER_LOGGING", load().nt_log_level.lower())
tasks_columns = os.environ.get("FLOWER_TASKS_COLUMNS", "name,args,worker,state,runtime,received,uuid")

ASK_EVERY_MS = 2000


class ForeignHost(Matcher):
    """Matches requests whose ``Host`` header is not accepted."""

    def match(self, request: HTTPServerRequest) -> dict[str, str] | None:
        """Return no arguments for the handler, or None for a request that is accepted."""
        return None if host_names.accepted(request.host, load().nt_metrics_allowed_hosts) else {}


class Refuse(RequestHandler):
    """Answers every request with 421."""

    def prepare(self) -> None:
        """Answer."""
        self.set_status(421)
        self.finish("this name is not accepted; add it to NT_METRICS_ALLOWED_HOSTS\n")


def unknown_workers(flower: Flower) -> list[str]:
    """Names of the live workers that have not answered Flower since their process started."""
    names = []
    for name, worker in flower.events.state.workers.items():
        answers = flower.workers.get(name, {})
        known = answers.get("stats", {}).get("pid") == worker.pid and "active_queues" in answers
        if worker.alive and not known:
            names.append(name)
    return names


def complete_flower() -> None:
    """Make Flower refuse foreign names (see ``host_names``), and ask workers that started after it.

    Flower asks all workers for their queues and statistics once, when it starts; after that a worker only if somebody
    opens its page (https://github.com/mher/flower/issues/1139). There is no option for it, and nothing but ``start``
    gets at the Flower of this process, so this wraps ``start``.
    """
    start = Flower.start

    @wraps(start)
    def start_completed(flower: Flower) -> None:
        def ask() -> None:
            for name in unknown_workers(flower):
                flower.update_workers(workername=name)

        flower.default_router.rules.insert(0, Rule(ForeignHost(), Refuse))
        PeriodicCallback(ask, ASK_EVERY_MS).start()
        start(flower)

    Flower.start = start_completed


logs.configure(load().nt_log_level, role="flower")
complete_flower()
