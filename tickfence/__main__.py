"""The command ``tickfence``: servers that read the reports of a deployment. Celery is not needed."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import requires, version
from importlib.util import find_spec

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
    except ImportError as error:
        package = str(error.name).partition(".")[0]
        if package == "tickfence":
            raise
        problem = f"the package {package}, which is not installed"
        if find_spec(package):  # then it lacks a module or a name
            named = (line.partition(";")[0] for line in requires("tickfence") or [])
            wanted = next((line for line in named if line.replace("-", "_").startswith(package)), package)
            problem = f"{wanted}, and another version is installed"
        command = arguments.command
        print(f"error: tickfence {command} needs {problem}: pip install 'tickfence[{command}]'", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
