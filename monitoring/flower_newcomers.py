"""Flower asks the workers for their queues and statistics once, at its own start. This asks those that come later, too.

Without it the pages show the nodes that were there before Flower, and of a restarted node what it was before.
"""

from __future__ import annotations

from functools import wraps

from flower.app import Flower
from tornado.ioloop import PeriodicCallback

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
