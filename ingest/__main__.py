"""``python -m ingest``: read the exchange and fill the streams until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import signal

import aiohttp

from ingest.service import Ingest
from tickfence import settings as environment
from tickfence.monitoring import exporter, ingest_metrics, logs
from tickfence.monitoring.garbage import collect_less

DEFAULT_METRICS_PORT = 9121
logger = logging.getLogger("ingest")


async def main(settings: environment.Settings) -> None:
    """Run ingest with these settings until SIGTERM or SIGINT."""
    async with aiohttp.ClientSession(trust_env=True) as session:
        ingest = Ingest(settings, session)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ingest.stop)
        where = {"ws": settings.nt_exchange_ws_url, "rest": settings.nt_exchange_rest_url}
        collect_less()
        logger.info("ingest starts", extra={"symbols": len(settings.symbols), **where})
        await ingest.run()
    logger.info("ingest stopped")


if __name__ == "__main__":
    loaded = environment.load()
    logs.configure(loaded.nt_log_level, role="ingest")
    port = DEFAULT_METRICS_PORT if loaded.nt_metrics_port is None else loaded.nt_metrics_port
    exporter.serve(port, loaded.nt_metrics_host, ingest_metrics.registry)
    asyncio.run(main(loaded))
