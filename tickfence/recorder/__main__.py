"""``python -m tickfence.recorder``: record market data and history until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tickfence import settings as environment
from tickfence.coordination.registration import NodeIdInUse
from tickfence.monitoring import exporter, logs, recorder_metrics, standard_streams
from tickfence.monitoring.garbage import collect_less
from tickfence.recorder.wal import LogInUse, WriteAheadLog
from tickfence.recordings.extra import NotInstalled, load
from tickfence.redis_access.address import masked
from tickfence.redis_access.errors import REDIS_ERRORS

DEFAULT_METRICS_PORT = 9131
logger = logging.getLogger("tickfence.recorder")


def main(settings: environment.Settings) -> int:
    """Record with these settings until SIGTERM or SIGINT; return the exit status."""
    try:
        store = load("store")
        recordings = store.Store(settings.nt_recordings)
    except NotInstalled as error:
        return _end(str(error))
    except store.BadRecordings as error:
        return _end(f"NT_RECORDINGS={settings.nt_recordings}: {error}")
    folder = settings.nt_recorder_wal
    try:
        log = WriteAheadLog(Path(folder))
    except LogInUse as error:
        return _end(f"NT_RECORDER_WAL={folder}: {error}")
    except OSError as error:
        return _end(f"NT_RECORDER_WAL={folder}: must be a folder that can be written: {error.strerror}")
    wanted = DEFAULT_METRICS_PORT if settings.nt_metrics_port is None else settings.nt_metrics_port
    port = exporter.serve(
        wanted, settings.nt_metrics_host, recorder_metrics.registry, settings.nt_metrics_allowed_hosts
    )
    recorder = import_module("tickfence.recorder.service").Recorder(  # needs the extra
        settings, log, recordings, exporter.page_url(port, settings.nt_metrics_host)
    )
    collect_less()
    logger.info("recorder starts", extra={"recordings": recordings.root, "log": folder})
    try:
        asyncio.run(_run(recorder))
    except NodeIdInUse as error:
        return _end(
            f"NT_NAME={settings.process_name('recorder')}: another live recorder has this name ({error.holder})"
        )
    except REDIS_ERRORS as error:
        return _end(f"REDIS_URL={masked(settings.redis_url)}: no registration within a minute: {error}")
    log.close()
    if recorder.replaced:
        logs.tell_fatal(f"stopped: another recorder has taken this name ({recorder.replaced.holder})")
        return os.EX_UNAVAILABLE
    logger.info("recorder stopped")
    return 0


async def _run(recorder: Any) -> None:
    """Run it in a thread: a handler of Python's signals runs within whatever the main thread does, which may hold a lock."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, recorder.stop)
    await asyncio.to_thread(recorder.run)


def _end(message: str) -> int:
    logs.tell_fatal(message)
    return 2


if __name__ == "__main__":
    command, what = "python -m tickfence.recorder", "Record market data and history until SIGTERM or SIGINT."
    argparse.ArgumentParser(prog=command, description=what, epilog=environment.WHERE).parse_args()
    standard_streams.bound_waits()
    loaded = environment.load()
    logs.configure(loaded.nt_log_level, role="recorder", recorder=loaded.process_name("recorder"))
    sys.exit(main(loaded))
