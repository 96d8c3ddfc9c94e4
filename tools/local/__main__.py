"""`python -m tools.local`: the whole stack in the foreground; `python -m tools.local status|start|stop|kill`: one role."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tickfence.settings import BadSetting, load
from tools.local.console import Console, watch, welcome
from tools.local.embedded_redis import RedisUnavailable
from tools.local.roles import ROOT, with_second_venue
from tools.local.stack import AlreadyRunning, NotWritable, Stack
from tools.local.supervision import SupervisionError, Supervisor


def main() -> int:
    """Carry out the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.local", description=__doc__)
    parser.add_argument("--state", type=Path, default=ROOT / ".local", help="folder for logs and addresses")
    parser.add_argument("--record", action="store_true", help="two recorders write what comes to Parquet files")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("run", help="start everything and stay in the foreground (the default)")
    commands.add_parser("status", help="show all roles")
    for command, does in (("start", "start a role"), ("stop", "stop a role"), ("kill", "kill -9 a role")):
        commands.add_parser(command, help=does).add_argument("role")
    arguments = parser.parse_args()
    try:
        if arguments.command in (None, "run"):
            return run(arguments.state, record=arguments.record)
        return control(Supervisor.find(arguments.state), arguments.command, getattr(arguments, "role", ""))
    except KeyboardInterrupt:
        return 0  # Ctrl-C before the stack was started
    except (AlreadyRunning, BadSetting, NotWritable, RedisUnavailable, SupervisionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadSetting) else 1


def run(state_dir: Path, *, record: bool = False) -> int:
    """Run the stack until Ctrl-C, SIGTERM or SIGHUP, then stop it in order; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    load()
    console = Console()
    status = 0
    with Stack(state_dir, with_second_venue(os.environ), record=record) as stack:
        try:
            started = time.monotonic()
            names = ", ".join(role.name for role in stack.roles)
            console.say(f"Starting {names}.")
            console.say("A role that ends is not restarted, so that you can watch the others take over.\n")
            stack.start()
            console.say(welcome(stack))
            watch(stack, console, started)
        except KeyboardInterrupt:
            console.say("\nStopping: nodes and beats first, Redis last.")
        except (RedisUnavailable, SupervisionError) as error:
            console.say(f"error: {error}")
            status = 1
        finally:
            # Stopping takes some seconds at most; a second Ctrl-C would leave processes behind.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
    console.say("Stopped." if status == 0 else "Stopped because of the error above.")
    return status


def control(supervisor: Supervisor, command: str, role: str) -> int:
    """Send one command to the stack that runs in another terminal; returns the exit status.

    Raises:
        SupervisionError: there is no such role, or it already is as asked for.
    """
    states = supervisor.states()
    if command == "status":
        for state in states.values():
            print(f"{state.name:<10} {f'runs, process {state.pid}' if state.running else state.state.lower()}")
        return 0
    if role not in states:
        raise SupervisionError(f"no role {role!r}; the roles are: {', '.join(sorted(states))}")
    running = states[role].running
    if running == (command == "start"):
        raise SupervisionError(f"{role} {'already runs' if running else 'does not run'}")
    if command == "start":
        supervisor.start(role)
    elif command == "stop":
        supervisor.stop([role])
    else:
        supervisor.signal(role, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
