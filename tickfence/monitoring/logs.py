"""Structured logs: one JSON object per line, on standard error."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

# At INFO, Celery logs two lines per task; at 4 tasks per second and symbol they would hide everything else.
_CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat", "kombu")

_fields: dict[str, str] = {}


def configure(level: str, **fields: str) -> None:
    """Sends all logs of this process to standard error as JSON.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        fields: fields of every line from now on, like `role="node", node="node-001"`; later calls keep them.

    Example:
        The `extra` of a log call becomes fields of its line:

        >>> logger.info("symbol acquired", extra={"symbol": "BTCUSDT", "token": 1})
    """
    _fields.update(fields)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields=dict(_fields),
            timestamp="time",
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level != "DEBUG":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
