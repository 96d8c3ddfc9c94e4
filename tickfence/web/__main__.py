"""``python -m tickfence.web --port 8000``: serve page, HTTP API, streams and MCP, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import logging
import re
import socket
import sys

from tickfence import settings as environment
from tickfence.monitoring import logs
from tickfence.web.listening import listen

DEFAULT_PORT = 8000
_LAST_PORT = 65_535
_SHOWN = 40  # of a bad argument

logger = logging.getLogger("web")


def parser() -> argparse.ArgumentParser:
    """All options with their defaults."""
    p = argparse.ArgumentParser(prog="python -m tickfence.web", description=__doc__)
    p.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    p.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s")
    return p


def main() -> int:
    """Serve; the exit status."""
    arguments = parser().parse_args()
    settings = environment.load()
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        other = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        why = f"{error.strerror or error}; give another {other}"
        print(f"error: cannot listen on {arguments.host}, port {arguments.port}: {why}", file=sys.stderr)
        return 1
    logs.configure(settings.nt_log_level, role="web")
    loopback = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    if not loopback and not settings.nt_web_token:
        logger.warning(
            "whoever reaches this address can read everything: set NT_WEB_TOKEN", extra={"host": arguments.host}
        )
    # Loading all of it takes a second, and many of them on a busy machine. By now the port is ours, and who connects waits.
    from tickfence.web.serving import serve  # noqa: PLC0415

    serve(listener, settings, loopback=loopback)
    return 0


def _host(text: str) -> str:
    try:
        if not text.encode("idna"):
            raise UnicodeError("it is empty")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} must be a host's name or address: {error}") from None
    return text


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} must be a whole number from 0 to {_LAST_PORT}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
