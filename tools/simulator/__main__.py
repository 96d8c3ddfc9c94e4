"""Command line of the simulated exchange."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tickfence.recordings.extra import NotInstalled, load
from tools.simulator import capture, kraken, symbols
from tools.simulator.captured import dialect_of
from tools.simulator.captured.server import CapturedServer, serve
from tools.simulator.connection import Limits
from tools.simulator.feed import Feed
from tools.simulator.hub import Hub
from tools.simulator.listening import CannotListen
from tools.simulator.live import LiveFeed
from tools.simulator.market import Activity
from tools.simulator.okx import capture as okx_capture
from tools.simulator.okx.replay import OkxReplayFeed
from tools.simulator.replay import ReplayFeed
from tools.simulator.server import Server, ServerOptions

DEFAULT_SYMBOLS = "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,ADAUSDT,DOTUSDT"


def _number(kind: type[int] | type[float], minimum: float, maximum: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not minimum <= value <= maximum:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number from {minimum:g} to {maximum:g}")
        return value

    return parse


def _speed(text: str) -> float:
    return math.inf if text == "max" else _number(float, 0.001, 1e6)(text)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    limits, activity, options = Limits(), Activity(), ServerOptions()
    p = argparse.ArgumentParser(
        prog="python -m tools.simulator",
        description="A local exchange that speaks Binance spot's protocol, OKX's and Kraken's.",
    )

    def number(name: str, default: float, kind: type[int] | type[float], low: float, high: float, text: str) -> None:
        p.add_argument(name, default=default, type=_number(kind, low, high), help=f"{text} (%(default)s)")

    names = "comma-separated names like BTCUSDT or okx:BTC-USDT, or the number of symbols"
    orders = "limit orders placed or cancelled per symbol"
    weight = "request weight per client and minute; Binance allows 6000"
    replayed = (
        "replay recorded data in this folder or URL, or the capture FROM.ws, FROM.http and (of Binance) "
        "FROM.exchangeInfo.json, in the dialect of its exchange"
    )
    times = "like 2025-11-26T10:00 in UTC, or in ms since 1970"
    walk = "size of the price's random walk in ticks per square root of a second"
    p.add_argument("--host", default=options.host, help="address to listen on (%(default)s)")
    number("--port", options.port, int, 0, 65535, "port; 0 chooses a free one")
    p.add_argument("--symbols", default=DEFAULT_SYMBOLS, help=f"{names} (%(default)s)")
    p.add_argument(
        "--no-checksums", action="store_true", help="OKX's books have the checksum 0, as there since June 2026"
    )
    p.add_argument("--also", default="", help="names that are listed beside --symbols, so that they can be added later")
    number("--seed", 1, int, 0, 2**63, "the same seed gives the same market")
    number("--trades-per-second", activity.trades_per_second, float, 0, 1000, "market orders per symbol")
    number("--orders-per-second", activity.orders_per_second, float, 0, 1000, orders)
    number("--levels", activity.levels, int, 20, 20_000, "levels per side")
    number("--told-levels", activity.told_levels, int, 20, 20_000, "best levels per side whose changes diffs tell")
    number("--volatility", activity.ticks_per_root_second, float, 0, 1000, walk)
    p.add_argument("--replay", metavar="FROM", help=replayed)
    p.add_argument("--from", dest="from_ms", type=_time, metavar="TIME", help=f"of a recording: start here, {times}")
    p.add_argument("--to", dest="to_ms", type=_time, metavar="TIME", help="of a recording: end here")
    p.add_argument(
        "--keep-times", action="store_true", help="of a recording: events have the recorded times, not now's"
    )
    p.add_argument("--speed", type=_speed, default=1.0, help="speed of the replay: a factor, or max (%(default)s)")
    p.add_argument("--exit-at-end", action="store_true", help="exit when the replay has ended and clients have read it")
    number("--weight-per-minute", options.weight_per_minute, int, 1, 10**9, weight)
    number("--connection-lifetime", limits.lifetime, float, 0.1, 10**9, "seconds until a connection is closed")
    number("--shutdown-notice", limits.shutdown_notice, float, 0, 10**6, "seconds from serverShutdown to that close")
    number("--ping-interval", limits.ping_interval, float, 0.05, 10**6, "seconds between server pings")
    number("--pong-timeout", limits.pong_timeout, float, 0.05, 10**6, "seconds a connection may stay without a pong")
    number(
        "--unread-bytes", limits.unread_bytes, int, 2**16, 2**34, "unread bytes above which a client is disconnected"
    )
    return p


def _time(text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        accepted = "must be a time like 2025-11-26T10:00 in UTC, or ms since 1970"
        raise argparse.ArgumentTypeError(f"{text!r} {accepted}") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


async def run(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT, or until a replay with --exit-at-end has ended."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    dialect = dialect_of(arguments.replay) if arguments.replay else None
    if dialect is not None:
        await serve(dialect(arguments.replay), arguments.speed, arguments.host, arguments.port, stop)
        return
    hub = Hub()
    of_kraken = None
    if arguments.replay:
        feed, what = _replay(arguments, hub)
    else:
        feed, of_kraken, what = _live(arguments, hub)
    limits = Limits(
        ping_interval=arguments.ping_interval,
        pong_timeout=arguments.pong_timeout,
        lifetime=arguments.connection_lifetime,
        shutdown_notice=arguments.shutdown_notice,
        unread_bytes=arguments.unread_bytes,
    )
    options = ServerOptions(arguments.host, arguments.port, arguments.weight_per_minute, limits)
    server = Server(feed, hub, options, of_kraken)
    port = await server.start()
    print(f"simulator: listening on http://{arguments.host}:{port} ({what})", flush=True)
    await server.serve(stop)


def _replay(arguments: argparse.Namespace, hub: Hub) -> tuple[Feed, str]:
    if not Path(f"{arguments.replay}.ws").exists():
        return _recorded(arguments, hub)
    if okx_capture.is_capture(arguments.replay):
        of_okx = okx_capture.load(arguments.replay)
        okx_replay = OkxReplayFeed(of_okx, arguments.speed, hub, exit_at_end=arguments.exit_at_end)
        return okx_replay, f"replay of {arguments.replay}, {len(of_okx.messages)} messages of OKX"
    recorded = capture.load(arguments.replay)
    replay = ReplayFeed(recorded, arguments.speed, hub, exit_at_end=arguments.exit_at_end)
    return replay, f"replay of {arguments.replay}, {len(recorded.messages)} messages"


def _live(arguments: argparse.Namespace, hub: Hub) -> tuple[Feed, CapturedServer | None, str]:
    listed = symbols.parse(arguments.symbols)
    known = {one.symbol for one in listed}
    listed += [one for one in symbols.parse(arguments.also) if one.symbol not in known] if arguments.also else []
    activity = Activity(
        orders_per_second=arguments.orders_per_second,
        trades_per_second=arguments.trades_per_second,
        levels=arguments.levels,
        ticks_per_root_second=arguments.volatility,
        told_levels=arguments.told_levels,
    )
    of_kraken = [one for one in listed if one.symbol.startswith(kraken.PREFIX)]
    others = [one for one in listed if one not in of_kraken]
    feed: Feed = LiveFeed(others, arguments.seed, activity, hub, checksums=not arguments.no_checksums)
    server = CapturedServer(kraken.live(of_kraken, arguments.seed, activity), speed=1.0) if of_kraken else None
    return feed, server, f"{len(listed)} symbols, seed {arguments.seed}"


def _recorded(arguments: argparse.Namespace, hub: Hub) -> tuple[Feed, str]:
    try:
        recording = load("recording").Recording(arguments.replay)
    except load("store").BadRecordings as error:
        raise capture.BadCapture(str(error)) from None
    from tools.simulator.recorded import RecordedFeed  # noqa: PLC0415 - these need the extra `recordings`
    from tools.simulator.recorded_market import RecordedMarket  # noqa: PLC0415

    market = RecordedMarket(recording, arguments.from_ms, arguments.to_ms)
    keep, end = arguments.keep_times, arguments.exit_at_end
    feed = RecordedFeed(market, arguments.speed, hub, keep_times=keep, exit_at_end=end)
    return feed, f"replay of {arguments.replay}, {len(market.symbols)} symbols, {market.seconds:.0f} s"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the simulator. Returns the exit status: 0 after a stop, 2 for options that cannot be used."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="simulator: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(run(arguments))
    except (symbols.BadSymbols, capture.BadCapture, CannotListen, NotInstalled) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
