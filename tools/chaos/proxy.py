"""A TCP proxy between roles and Redis that injects network faults on demand.

``python -m tools.chaos.proxy --to PORT --control PORT --lane node-003=PORT --lane …``. Each lane is a port that leads to
the same server. One line on the control port, the name of a lane and an order, sets what that lane does. The answer is
``ok``, or an error.

=====================  ===================================================================================
``pass``               bytes go through; what was held arrives now, late, as after a TCP retransmission
``delay <s> <s>``      every chunk arrives later, in order, by a random time between the two
``hold``               a black hole: connections stay open, nothing arrives on either side
``cut``                all connections are reset, and every new one at once
=====================  ===================================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import Mapping

from tools.local.ports import LOOPBACK

_CHUNK = 1 << 16


class Proxy:
    """One lane."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._delay_s = (0.0, 0.0)
        self._transports: set[asyncio.WriteTransport] = set()

    def order(self, line: str) -> str:
        """Carry out one order; returns the answer."""
        words = line.split()
        try:
            match words:
                case ["pass"]:
                    self._set()
                case ["delay", minimum, maximum]:
                    self._set(delay_s=(float(minimum), float(maximum)))
                case ["hold"]:
                    self._set(holding=True)
                case ["cut"]:
                    self._set(refusing=True)
                    for transport in tuple(self._transports):
                        transport.abort()
                case _:
                    raise ValueError("must be pass, delay <s> <s>, hold or cut")
        except ValueError as error:
            return f"error: {line!r}: {error}"
        return "ok"

    def _set(self, *, holding: bool = False, refusing: bool = False, delay_s: tuple[float, float] = (0.0, 0.0)) -> None:
        self._refusing, self._delay_s = refusing, delay_s
        if holding:
            self._open.clear()
        else:
            self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends."""
        if self._refusing:
            writer.transport.abort()
            return
        await self._open.wait()
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._to)
        except OSError:
            writer.transport.abort()
            return
        both = {writer.transport, back.transport}
        for end in (writer, back):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transports |= both
        try:
            await asyncio.wait(
                [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._transports -= both
            for transport in both:
                transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes in one direction until their sender ends."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)

        async def take_in() -> None:
            while True:
                data = b""
                with contextlib.suppress(ConnectionError):  # a reset ends the connection too
                    data = await reader.read(_CHUNK)
                await chunks.put((loop.time() + random.uniform(*self._delay_s), data))
                if not data:
                    return

        taking = asyncio.create_task(take_in())
        try:
            while True:
                due, data = await chunks.get()
                if due > loop.time() and self._delay_s[1]:
                    await asyncio.sleep(due - loop.time())
                await self._open.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return  # the receiver ended
        finally:
            taking.cancel()


def lane(text: str) -> tuple[str, int]:
    """Read ``name=port`` from the command line."""
    name, _, port = text.partition("=")
    return name, int(port)


async def run(lanes: Mapping[str, int], to: int, control: int) -> None:
    """Serve until SIGTERM.

    Args:
        lanes: name -> port.
        to: port of the server.
        control: port for orders.
    """
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    proxies = {name: Proxy(to) for name in lanes}

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name, _, order = (await reader.readline()).decode(errors="replace").strip().partition(" ")
        answer = proxies[name].order(order) if name in proxies else f"error: {name!r}: must be of {', '.join(proxies)}"
        writer.write(f"{answer}\n".encode())
        writer.close()

    data = [await asyncio.start_server(proxies[name].serve, LOOPBACK, port) for name, port in lanes.items()]
    orders = await asyncio.start_server(obey, LOOPBACK, control)
    await stop.wait()
    for server in (orders, *data):
        server.close()


def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.chaos.proxy", description="A TCP proxy that injects network faults on demand."
    )
    parser.add_argument(
        "--lane", type=lane, action="append", required=True, metavar="NAME=PORT", help="a lane and its port"
    )
    for name, does in (("to", "port of the server"), ("control", "port for orders")):
        parser.add_argument(f"--{name}", type=int, required=True, help=does)
    arguments = parser.parse_args()
    asyncio.run(run(dict(arguments.lane), arguments.to, arguments.control))


if __name__ == "__main__":
    main()
