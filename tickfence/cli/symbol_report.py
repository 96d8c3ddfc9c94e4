"""``celery report BTCUSDT`` beside Celery's own ``celery report``."""

from __future__ import annotations

from typing import Any

import click

from tickfence.cli.plugin import report


def take_symbol(app: Any) -> None:
    """Let Celery's ``report`` take a symbol: a fix-up of the app, see the ``fixups`` of :class:`celery.Celery`.

    No entry point can do it, since Celery adds its own commands after those of its plugins. But it loads the app that
    ``-A`` names when it has chosen the command, and before that has seen its arguments. Called without any, ``report``
    is Celery's own, as everybody knows it.
    """
    del app
    context = click.get_current_context(silent=True)
    if context is None or context.invoked_subcommand != "report" or not isinstance(context.command, click.Group):
        return
    celerys = context.command.commands["report"]
    without_arguments = celerys.make_context

    def make_context(name: str | None, arguments: list[str], **options: Any) -> click.Context:
        return (report.make_context if arguments else without_arguments)(name, arguments, **options)

    celerys.make_context = make_context  # type: ignore[method-assign, assignment]
