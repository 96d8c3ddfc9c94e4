"""The command ``tickfence``: servers that read the reports of a deployment. Celery is not needed."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version

from tickfence.mcp import command as mcp
from tickfence.web import command as web

_DESCRIPTION = "Read market reports. REDIS_URL tells where they are; docs/configuration.md lists the other settings."


def parser() -> argparse.ArgumentParser:
    """Return all commands with their options."""
    whole = argparse.ArgumentParser(prog="tickfence", description=_DESCRIPTION)
    whole.add_argument("--version", action="version", version=f"tickfence {version('tickfence')}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve = "serve the live page, the HTTP API, streams of changes and MCP"
    web_parser = commands.add_parser("web", help=serve, description=serve)
    web.add_options(web_parser)
    web_parser.set_defaults(run=web.run)
    speak = "speak MCP with one client on standard input and output"
    commands.add_parser("mcp", help=speak, description=speak).set_defaults(run=mcp.run)
    return whole


def main() -> int:
    """Run a command; return the exit status."""
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "tickfence":
            raise
        extra = f"pip install 'tickfence[{arguments.command}]'"
        print(
            f"error: tickfence {arguments.command} needs the package {error.name}, which is not installed: {extra}",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
