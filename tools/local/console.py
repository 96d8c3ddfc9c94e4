"""What the foreground of `make run` shows: addresses, what to try, first reports, comings and goings."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from pathlib import Path

import redis

from tools.local import ports
from tools.local.embedded_redis import find_cli
from tools.local.roles import INGESTS, ROOT
from tools.local.stack import Stack
from tools.local.supervision import RoleState

FIRST_REPORTS_TIMEOUT_S = 60.0
_POLL_S = 0.2


class Console:
    """Prints to the terminal, and goes on in silence once the terminal is gone."""

    def __init__(self) -> None:
        self._gone = False

    def say(self, text: str = "") -> None:
        """Show one line or block."""
        if self._gone:
            return
        try:
            print(text, flush=True)
        except OSError:
            # The terminal was closed or the pipe's reader left. Stopping in order matters more.
            self._gone = True


def welcome(stack: Stack) -> str:
    """The block that tells which addresses to open and which commands to try."""
    where, symbol = stack.ports, stack.settings.symbols[0]
    names = [role.name for role in stack.roles]
    nodes = [name for name in names if name.startswith("node-")]
    cli, who = _cli(), "jq -r .writer.nodeId" if shutil.which("jq") else 'grep -o \'"nodeId":"[^"]*"\''
    here = _relative(stack.state_dir)
    rows: list[tuple[str, str]] = []
    if "web" in names:
        rows.append(("Live page", f"http://{ports.LOOPBACK}:{where.web}"))
        rows.append(("HTTP API", f"http://{ports.LOOPBACK}:{where.web}/docs"))
    if "flower" in names:
        rows.append(("Flower", f"http://{ports.LOOPBACK}:{where.flower}"))
    rows += [
        (f"Metrics of {name}", f"http://{ports.LOOPBACK}:{where.metrics[name]}/metrics")
        for name in names
        if name in where.metrics
    ]
    rows.append(("", ""))
    if nodes:
        rows += [
            ("A report", f"{cli} -p {where.redis} GET report:{symbol}"),
            ("Who wrote it", f"{cli} -p {where.redis} GET report:{symbol} | {who}"),
            ("The live nodes", f"{cli} -p {where.redis} ZRANGE nt:nodes 0 -1"),
            ("Who owns what", f". {here}/env && .venv/bin/celery -A tasks owners"),
            ("Why", f". {here}/env && .venv/bin/celery -A tasks explain {symbol}"),
        ]
    else:
        rows.append(("The market data", f"{cli} -p {where.redis} HGETALL 'md:{{{symbol}}}:ticker'"))
    role = nodes[-1] if nodes else INGESTS[0]
    rows += [
        ("Kill one role", f"make kill ROLE={role}"),
        ("Start it again", f"make start ROLE={role}"),
        ("All roles", "make status"),
        ("Logs", f"{here}/logs/<role>.log"),
    ]
    if nodes:
        rows.append(("One more by hand", f". {here}/env && .venv/bin/celery -A tasks worker -Q node-004"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{width}}  {text}".rstrip() for label, text in rows)


def changes(before: dict[str, RoleState], after: dict[str, RoleState], stack: Stack) -> list[str]:
    """One line for each role that came or went between two looks."""
    lines = []
    for name, now in after.items():
        then = before[name]
        ended, again = then.pid and then.pid != now.pid, f"start it again: make start ROLE={name}"
        if ended and now.pid:
            lines.append(f"{name} (process {then.pid}) was replaced")
        elif ended and now.state == "STOPPED":
            lines.append(f"{name} (process {then.pid}) was stopped; {again}")
        elif ended:
            how = "was killed" if now.exit_status == -1 else f"ended with status {now.exit_status}"
            lines.append(f"{name} (process {then.pid}) {how}; {again}")
            last = stack.log(name).strip().rsplit("\n", 1)[-1][:200]
            if now.exit_status > 0 and last:
                lines.append(f"  its log ends: {last}")
        if now.pid and now.pid != then.pid:
            lines.append(f"{name} runs (process {now.pid})")
    return lines


def watch(stack: Stack, console: Console, started: float) -> None:
    """Show what happens until an exception (Ctrl-C) ends it; ``started`` is on the monotonic clock."""
    waiting = stack.settings.nt_enable_kv_reports
    before = stack.states()
    with stack.redis_client() as client:
        while True:
            if waiting:
                waiting = not show_first_reports(stack, client, console, time.monotonic() - started)
            after = stack.states()
            for line in changes(before, after, stack):
                console.say(f"{time.strftime('%H:%M:%S')}  {line}")
            before = after
            time.sleep(_POLL_S)


def show_first_reports(stack: Stack, client: redis.Redis, console: Console, waited_s: float) -> bool:
    """Announce the first reports once all are there, or what is missing after a minute; whether it did either."""
    symbols = stack.settings.symbols
    try:
        found = client.mget([f"report:{symbol}" for symbol in symbols])
    except redis.RedisError as error:
        missing = f"Redis does not answer ({error})"
    else:
        writers = defaultdict(list)
        for symbol, report in zip(symbols, found, strict=True):
            if report is not None:
                writers[json.loads(report)["writer"]["nodeId"]].append(symbol)
        absent = [symbol for symbol, report in zip(symbols, found, strict=True) if report is None]
        if not absent:
            console.say(f"\n{_count(len(symbols))} live, {waited_s:.1f} s after the start:")
            for node, written in sorted(writers.items()):
                console.say(f"  {node} writes {' '.join(written)}")
            console.say("\nCtrl-C stops everything.\n")
            return True
        missing = f"no report yet of {' '.join(absent)}"
    if waited_s > FIRST_REPORTS_TIMEOUT_S:
        logs = _relative(stack.state_dir) / "logs"
        console.say(f"after {waited_s:.0f} s there is {missing}; see: make status, and the logs in {logs}")
        return True
    return False


def _count(reports: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    number = words[reports] if reports < len(words) else str(reports)
    return f"{number} {'report is' if reports == 1 else 'reports are'}"


def _cli() -> str:
    found = find_cli()
    if found is None:
        return "redis-cli"
    on_path = shutil.which(Path(found).name) == found
    return Path(found).name if on_path else str(_relative(Path(found)))


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
