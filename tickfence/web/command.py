"""``tickfence web``: its options, and the socket it listens on."""

from __future__ import annotations

import argparse
import errno
import ipaddress
import re
import socket
import sys

from tickfence.monitoring import logs
from tickfence.settings import BadSetting, load_for_reader
from tickfence.web.tokens import read_tokens

DEFAULT_PORT = 8000
BACKLOG = 1024
"""Connections that wait to be accepted."""
_MAX_PORT = 65_535
_QUOTED = 40  # characters of a bad argument
_SEND_BUFFER = (
    64 * 1024
)  # bytes the kernel keeps for a client that does not read; by default megabytes of outdated state
_DEAD_AFTER_MS = 30_000  # the kernel closes the connection of a client that accepts nothing for this long (Linux)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options with their defaults."""
    parser.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    settings = load_for_reader()
    try:
        tokens = read_tokens(settings)
    except BadSetting as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        listener = listen(arguments.host, arguments.port)
    except OSError as error:
        other = "--host" if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else "--port"
        why = f"{error.strerror or error}; give another {other}"
        print(f"error: cannot listen on {arguments.host}, port {arguments.port}: {why}", file=sys.stderr)
        return 1
    loopback = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    if not loopback and not tokens and not settings.nt_web_allow_anonymous:
        print(
            f"error: everyone who reaches {arguments.host} could read everything: set NT_WEB_TOKEN, or "
            "NT_WEB_ALLOW_ANONYMOUS=true if that is what you want",
            file=sys.stderr,
        )
        return 2
    logs.configure(settings.nt_log_level, role="web")
    # These imports take a second, on a busy machine many. The port is already open, so clients wait instead of failing.
    from tickfence.web.serving import serve  # noqa: PLC0415

    serve(listener, settings, tokens, loopback=loopback)
    return 0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: There is no such address, or its port is in use.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _host(text: str) -> str:
    try:
        if not text.encode("idna"):
            raise UnicodeError("it is empty")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError(f"{text[:_QUOTED]!r} must be a host's name or address: {error}") from None
    return text


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text[:_QUOTED]!r} must be a whole number from 0 to {_MAX_PORT}")
    return int(text)
