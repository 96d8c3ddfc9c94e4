"""``python -m tickfence.alerts``: tell webhooks and chats what the rules find, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from importlib import import_module

from tickfence import settings as environment
from tickfence.alerts.rules import BadRules, load
from tickfence.monitoring import alerts_metrics, exporter, logs, standard_streams
from tickfence.redis_access.errors import REDIS_ERRORS
from tickfence.redis_access.outage import Outage

DEFAULT_METRICS_PORT = 9151
logger = logging.getLogger("tickfence.alerts")


def main(settings: environment.Settings, *, check: bool = False) -> int:
    """Run with these settings until SIGTERM or SIGINT, or only check the rules; return the exit status."""
    path = settings.nt_alert_rules
    if not path:
        return _end("NT_ALERT_RULES must be a file of rules: see docs/alerts.md")
    try:
        rules = load(path)
        delivery = import_module("tickfence.alerts.delivery").Delivery(rules)
    except BadRules as error:
        return _end(f"NT_ALERT_RULES={error}")
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        return _end("alerts need the package httpx2, which is not installed: pip install 'tickfence[alerts]'")
    if check:
        print(f"{path}: rules: {len(rules.rules)}, targets: {len(rules.targets)}")
        return 0
    wanted = DEFAULT_METRICS_PORT if settings.nt_metrics_port is None else settings.nt_metrics_port
    exporter.serve(wanted, settings.nt_metrics_host, alerts_metrics.registry, settings.nt_metrics_allowed_hosts)
    logger.info("starting", extra={"rules": len(rules.rules), "targets": len(rules.targets)})

    async def run() -> None:
        service = import_module("tickfence.alerts.service")
        outage, alerts = Outage("the data plane", logger), None
        while alerts is None:
            try:
                alerts = service.Alerts(settings, rules, delivery)
            except REDIS_ERRORS as error:  # a cluster's client does not exist before a node has answered
                await asyncio.sleep(outage.failed(error))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, alerts.stop)
        await alerts.run()

    asyncio.run(run())
    logger.info("stopped")
    return 0


def _end(message: str) -> int:
    logs.tell_fatal(message)
    return 2


if __name__ == "__main__":
    command, what = (
        "python -m tickfence.alerts",
        "Tell webhooks and chats what the rules find, until SIGTERM or SIGINT.",
    )
    parser = argparse.ArgumentParser(prog=command, description=what, epilog=environment.WHERE)
    parser.add_argument("--check", action="store_true", help="only check the file of rules, and end")
    asked = parser.parse_args()
    standard_streams.bound_waits()
    loaded = environment.load_for_reader()
    logs.configure(loaded.nt_log_level, role="alerts", alerts=loaded.process_name("alerts"))
    sys.exit(main(loaded, check=asked.check))
