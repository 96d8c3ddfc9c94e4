"""``python -m ingest``: read the exchanges and fill the streams until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from ingest import venues
from ingest.proxy import BadProxy, proxy_for, shown
from ingest.service import Ingest
from tickfence import settings as environment
from tickfence.monitoring import exporter, ingest_metrics, logs, standard_streams
from tickfence.monitoring.garbage import collect_less

DEFAULT_METRICS_PORT = 9121
logger = logging.getLogger("ingest")


async def main(settings: environment.Settings) -> None:
    """Run ingest with these settings until SIGTERM or SIGINT.

    Raises:
        BadProxy: the environment names a proxy that cannot be used.
        BadSetting: a setting names a venue that there is not.
    """
    _check_venues(settings)
    ws, rest = settings.nt_exchange_ws_url, settings.nt_exchange_rest_url
    ws_proxy, rest_proxy = proxy_for(ws), proxy_for(rest)
    ingest = Ingest(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ingest.stop)
    where = {"ws": ws, "ws_proxy": shown(ws_proxy), "rest": rest, "rest_proxy": shown(rest_proxy)}
    collect_less()
    logger.info("ingest starts", extra={"symbols": len(settings.symbols), **where})
    await ingest.run()
    logger.info("ingest stopped")


def _check_venues(settings: environment.Settings) -> None:
    """Check that there is every venue that a setting names.

    Raises:
        BadSetting: there is not.
    """
    urls = [name.partition(".")[0] for name in settings.nt_venue_urls]
    for variable, names in (("NT_INGEST_VENUES", settings.nt_ingest_venues), ("NT_VENUE_URLS", urls)):
        try:
            venues.require(*names)
        except venues.NoVenue as error:
            raise environment.BadSetting(f"{variable}: {error}") from None


if __name__ == "__main__":
    what = "Read the exchanges and fill the streams until SIGTERM or SIGINT."
    argparse.ArgumentParser(prog="python -m ingest", description=what, epilog=environment.WHERE).parse_args()
    standard_streams.bound_waits()
    loaded = environment.load()
    logs.configure(loaded.nt_log_level, role="ingest", ingest=loaded.process_name("ingest"))
    port = DEFAULT_METRICS_PORT if loaded.nt_metrics_port is None else loaded.nt_metrics_port
    exporter.serve(port, loaded.nt_metrics_host, ingest_metrics.registry, loaded.nt_metrics_allowed_hosts)
    try:
        asyncio.run(main(loaded))
    except (BadProxy, environment.BadSetting) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
