"""Listening on a port, with an error that says what to do."""

from __future__ import annotations

import errno

from aiohttp import web


class CannotListen(OSError):
    """The server cannot listen on the address; its text says why and what to do."""


async def listen(application: web.Application, host: str, port: int) -> tuple[web.AppRunner, int]:
    """Starts to listen; returns what runs the application, and the port.

    Raises:
        CannotListen: the port is taken, or the address cannot be used.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} on {host} is taken; choose another with --port, or 0 for a free one"
            ) from None
        raise CannotListen(f"cannot listen on {host} port {port}: {error.strerror}") from None
    return runner, int(runner.addresses[0][1])
