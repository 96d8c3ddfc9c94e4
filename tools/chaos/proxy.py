"""A TCP proxy that can be told to delay, to swallow and to cut, to stand between a role and Redis.

``python -m tools.chaos.proxy --to PORT --control PORT --lane node-003=PORT --lane …``. Each lane is a port of its own that
leads there. One line on the control port, a lane's name and an order, sets what that lane does, and is answered with
``ok``:

=====================  ===================================================================================
``pass``               bytes go through; what was held goes through now, late, as TCP would send it again
``delay <s> <s>``      every chunk arrives later by a time between the two, in order
``hold``               a black hole: connections stay open, nothing arrives on either side
``cut``                all connections are reset, and new ones at once
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
    """One lane: what comes in at its port, and where that leads."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._delay_s = (0.0, 0.0)
        self._transports: set[asyncio.WriteTransport] = set()

    def order(self, line: str) -> str:
        """Carry out one line from the control port; the answer."""
        words = line.split()
        try:
            match words:
                case ["pass"]:
                    self._set()
                case ["delay", least, most]:
                    self._set(delay_s=(float(least), float(most)))
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
        """One client's connection, from beginning to end."""
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
        """Carry bytes one way until that side ends."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)

        async def take_in() -> None:
            while True:
                data = b""
                with contextlib.suppress(ConnectionError):  # a reset is an end like another
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
            return  # the other side ended
        finally:
            taking.cancel()


def lane(text: str) -> tuple[str, int]:
    """``name=port`` of the command line."""
    name, _, port = text.partition("=")
    return name, int(port)


async def run(lanes: Mapping[str, int], to: int, control: int) -> None:
    """Serve until SIGTERM."""
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
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.chaos.proxy", description="A TCP proxy with faults on demand."
    )
    parser.add_argument(
        "--lane", type=lane, action="append", required=True, metavar="NAME=PORT", help="where to listen"
    )
    for name, does in (("to", "port it leads to"), ("control", "port for orders")):
        parser.add_argument(f"--{name}", type=int, required=True, help=does)
    arguments = parser.parse_args()
    asyncio.run(run(dict(arguments.lane), arguments.to, arguments.control))


if __name__ == "__main__":
    main()
