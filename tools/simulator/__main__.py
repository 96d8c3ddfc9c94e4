"""Command line of the simulated exchange."""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import signal
import sys
from collections.abc import Callable, Sequence

from tools.simulator import capture, symbols
from tools.simulator.connection import Limits
from tools.simulator.feed import Feed
from tools.simulator.hub import Hub
from tools.simulator.live import LiveFeed
from tools.simulator.market import Activity
from tools.simulator.replay import ReplayFeed
from tools.simulator.server import CannotListen, Server, ServerOptions

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
        prog="python -m tools.simulator", description="A local exchange that speaks Binance spot's protocol."
    )
    add = p.add_argument
    add("--host", default=options.host, help="address to listen on (%(default)s)")
    add("--port", type=_number(int, 0, 65535), default=options.port, help="port; 0 chooses a free one (%(default)s)")
    add("--symbols", default=DEFAULT_SYMBOLS, help="comma-separated names, or the number of symbols (%(default)s)")
    add("--seed", type=_number(int, 0, 2**63), default=1, help="the same seed gives the same market (%(default)s)")
    add(
        "--trades-per-second",
        type=_number(float, 0, 1000),
        default=activity.trades_per_second,
        help="market orders per symbol (%(default)s)",
    )
    add(
        "--orders-per-second",
        type=_number(float, 0, 1000),
        default=activity.orders_per_second,
        help="limit orders placed or cancelled per symbol (%(default)s)",
    )
    add("--levels", type=_number(int, 20, 20_000), default=activity.levels, help="levels per side (%(default)s)")
    add(
        "--volatility",
        type=_number(float, 0, 1000),
        default=activity.ticks_per_root_second,
        help="size of the price's random walk in ticks per square root of a second (%(default)s)",
    )
    add(
        "--replay",
        metavar="STEM",
        help="replay STEM.ws, STEM.http and STEM.exchangeInfo.json instead of a random market",
    )
    add("--speed", type=_speed, default=1.0, help="speed of the replay: a factor, or max (%(default)s)")
    add("--exit-at-end", action="store_true", help="exit when the replay has ended and clients have read it")
    add(
        "--weight-per-minute",
        type=_number(int, 1, 10**9),
        default=options.weight_per_minute,
        help="request weight per client and minute; Binance allows 6000 (%(default)s)",
    )
    add(
        "--connection-lifetime",
        type=_number(float, 0.1, 10**9),
        default=limits.lifetime,
        help="seconds after which a connection is closed (%(default)s)",
    )
    add(
        "--shutdown-notice",
        type=_number(float, 0, 10**6),
        default=limits.shutdown_notice,
        help="seconds between serverShutdown and that close (%(default)s)",
    )
    add(
        "--ping-interval",
        type=_number(float, 0.05, 10**6),
        default=limits.ping_interval,
        help="seconds between server pings (%(default)s)",
    )
    add(
        "--pong-timeout",
        type=_number(float, 0.05, 10**6),
        default=limits.pong_timeout,
        help="seconds without a pong after which a connection is closed (%(default)s)",
    )
    add(
        "--unread-bytes",
        type=_number(int, 2**16, 2**34),
        default=limits.unread_bytes,
        help="a client with more unread bytes than this is disconnected (%(default)s)",
    )
    return p


async def run(arguments: argparse.Namespace) -> None:
    """Serves until SIGTERM or SIGINT, or until a replay with --exit-at-end has ended."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    hub = Hub()
    feed, what = _feed(arguments, hub)
    limits = Limits(
        ping_interval=arguments.ping_interval,
        pong_timeout=arguments.pong_timeout,
        lifetime=arguments.connection_lifetime,
        shutdown_notice=arguments.shutdown_notice,
        unread_bytes=arguments.unread_bytes,
    )
    options = ServerOptions(arguments.host, arguments.port, arguments.weight_per_minute, limits)
    server = Server(feed, hub, options)
    port = await server.start()
    print(f"simulator: listening on http://{arguments.host}:{port} ({what})", flush=True)
    await server.serve(stop)


def _feed(arguments: argparse.Namespace, hub: Hub) -> tuple[Feed, str]:
    if arguments.replay:
        recorded = capture.load(arguments.replay)
        replay = ReplayFeed(recorded, arguments.speed, hub, exit_at_end=arguments.exit_at_end)
        return replay, f"replay of {arguments.replay}, {len(recorded.messages)} messages"
    listed = symbols.parse(arguments.symbols)
    activity = Activity(
        orders_per_second=arguments.orders_per_second,
        trades_per_second=arguments.trades_per_second,
        levels=arguments.levels,
        ticks_per_root_second=arguments.volatility,
    )
    feed = LiveFeed(listed, arguments.seed, activity, hub)
    return feed, f"{len(listed)} symbols, seed {arguments.seed}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the simulator. Returns the exit status: 0 after a stop, 2 for options that cannot be used."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="simulator: %(message)s", stream=sys.stderr)
    try:
        asyncio.run(run(arguments))
    except (symbols.BadSymbols, capture.BadCapture, CannotListen) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
