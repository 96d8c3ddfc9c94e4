"""Tell when the spread of a symbol stays wide, and when it is normal again.

    pip install 'tickfence[client]'
    python examples/spread_alert.py BTCUSDT ETHUSDT --above 5 --seconds 2

A spread counts only while reports are fresh: a gap in the data is told, and starts the clock again. So an alert never rests
on numbers from before an outage.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable, Iterator

from msgspec import UNSET

from tickfence import Client
from tickfence.client import FreshReport, Lost


def alerts(told: Iterable[FreshReport | Lost], above_bps: float, seconds: float) -> Iterator[str]:
    """Yield a line when a spread has been at least ``above_bps`` for ``seconds``, and one when it is lower again."""
    wide_since: dict[str, int] = {}
    alerted: set[str] = set()
    for one in told:
        if isinstance(one, Lost):
            yield f"no data of {', '.join(one.symbols)}: {one.error}"
            for symbol in one.symbols:
                wide_since.pop(symbol, None)
            continue
        symbol, spread = one.symbol, one.spread_bps
        if spread is UNSET or spread < above_bps:
            wide_since.pop(symbol, None)
            if symbol in alerted and spread is not UNSET:
                alerted.discard(symbol)
                yield f"{symbol}: the spread is normal again"
        elif one.updated_at - wide_since.setdefault(symbol, one.updated_at) >= seconds * 1000 and symbol not in alerted:
            alerted.add(symbol)
            yield f"ALERT {symbol}: the spread is {spread:g} bps, at least {above_bps:g} for {seconds:g} s"


def main() -> None:
    """Read the command line and print alerts until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Tell when the spread of a symbol stays wide.")
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
    parser.add_argument("--above", type=float, default=5.0, metavar="BPS", help="a wide spread, basis points")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long it has to be wide")
    parser.add_argument("--url", default="http://localhost:8000", help="where `tickfence web` answers")
    given = parser.parse_args()
    with Client(given.url, token=os.environ.get("NT_WEB_TOKEN")) as client:
        for line in alerts(client.stream(given.symbols), given.above, given.seconds):
            print(line, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
