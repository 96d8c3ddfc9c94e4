"""``tickfence mcp``: reports for LLM agents over stdio (https://modelcontextprotocol.io)."""

from __future__ import annotations

import argparse
import signal

from tickfence.monitoring import logs
from tickfence.settings import load_for_reader


def run(_: argparse.Namespace) -> int:
    """Serve one client on standard input and output until it closes them or a signal comes; return the exit status."""
    settings = load_for_reader()
    import anyio  # noqa: PLC0415 - `tickfence --help` works without the packages of [mcp]

    from tickfence.mcp.server import serve_stdio  # noqa: PLC0415

    logs.configure(settings.nt_log_level, role="mcp")
    # The SDK reads in a thread, which a KeyboardInterrupt would wait for until the client closes. There is nothing to
    # clean up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    anyio.run(serve_stdio, settings)
    return 0
