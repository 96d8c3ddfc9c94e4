"""Structured logs: one JSON object per line, on standard error or in a file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from pythonjsonlogger.json import JsonFormatter

from tickfence.monitoring.log_writer import LogFile, writer

# At INFO, Celery logs two lines per task; at 4 tasks per second and symbol they would hide everything else.
_CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat", "kombu")

_fields: dict[str, str] = {}

logger = logging.getLogger(__name__)


def configure(level: str, *, file: str | None = None, **fields: str) -> None:
    """Sends all logs of this process to standard error, or to a file, as JSON. No log call waits for the reader.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
        file: path of a file for the lines from now on; later calls keep it. One that cannot be opened ends the process
            with one line and status 2.
        fields: fields of every line from now on, like `role="node", node="node-001"`; later calls keep them.

    Example:
        The `extra` of a log call becomes fields of its line:

        >>> logger.info("symbol acquired", extra={"symbol": "BTCUSDT", "token": 1})
    """
    _fields.update(fields)
    if file and getattr(writer.destination, "path", None) != Path(file):
        try:
            writer.destination = LogFile(file)
        except OSError as error:
            tell_fatal(f"log file {file}: cannot be opened: {error.strerror}")
            raise SystemExit(2) from None
    writer.setFormatter(
        JsonFormatter(
            "{levelname}{name}{message}",
            style="{",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields=dict(_fields),
            timestamp="time",
        )
    )
    root = logging.getLogger()
    for other in [handler for handler in root.handlers if handler is not writer]:
        root.removeHandler(other)
        other.close()
    root.addHandler(writer)
    root.setLevel(level)
    if level != "DEBUG":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


def tell_fatal(message: str) -> None:
    """Says why the process ends: in one line on standard error, and in the log file, if there is one."""
    print(f"error: {message}", file=sys.stderr)
    if isinstance(writer.destination, LogFile):
        logger.critical(message)
