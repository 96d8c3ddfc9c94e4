"""What the terminal of `make run` shows: addresses, commands to try, the first reports, roles that start and end."""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from pathlib import Path

import redis

from tools.local import ports
from tools.local.embedded_redis import find_cli
from tools.local.roles import INGESTS, RECORDERS, ROOT
from tools.local.stack import Stack
from tools.local.supervision import RoleState

FIRST_REPORTS_TIMEOUT_S = 60.0
_POLL_S = 0.2


class Console:
    """Prints to the terminal, and prints nothing once the terminal is closed."""

    def __init__(self) -> None:
        self._closed = False

    def say(self, text: str = "") -> None:
        """Show one line or block."""
        if self._closed:
            return
        try:
            print(text, flush=True)
        except OSError:
            # The terminal or the pipe was closed. The roles must still be stopped in order.
            self._closed = True


def welcome(stack: Stack) -> str:
    """The addresses to open and the commands to try, a line each."""
    where, symbol, keys = stack.ports, stack.settings.symbols[0], stack.settings.keys
    names = [role.name for role in stack.roles]
    nodes = [name for name in names if name.startswith("node-")]
    cli = f"{_cli()} -p {where.redis}"
    node_id = "jq -r .writer.nodeId" if shutil.which("jq") else 'grep -o \'"nodeId":"[^"]*"\''
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
            ("A report", f"{cli} GET {keys.report(symbol)}"),
            ("Its writer", f"{cli} GET {keys.report(symbol)} | {node_id}"),
            ("The live nodes", f"{cli} ZRANGE {keys.nodes} 0 -1"),
            ("All owners", f". {here}/env && .venv/bin/celery -A tasks owners"),
            ("Why this owner", f". {here}/env && .venv/bin/celery -A tasks explain {symbol}"),
        ]
    else:
        rows.append(("The market data", f"{cli} HGETALL '{keys.ticker(symbol)}'"))
    if RECORDERS[0] in names:
        recorded = stack.recordings
        rows.append(("Recorded data", recorded if "://" in recorded else str(_relative(Path(recorded)))))
    role = nodes[-1] if nodes else INGESTS[0]
    rows += [
        ("Kill one role", f"make kill ROLE={role}"),
        ("Start it again", f"make start ROLE={role}"),
        ("All roles", "make status"),
        ("Logs", f"{here}/logs/<role>.log"),
    ]
    if nodes:
        rows.append(("Add a node", f". {here}/env && .venv/bin/celery -A tasks worker -Q node-004"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{width}}  {text}".rstrip() for label, text in rows)


def changes(before: dict[str, RoleState], after: dict[str, RoleState], stack: Stack) -> list[str]:
    """Lines about roles that started or ended between two states of the stack."""
    lines = []
    for name, now in after.items():
        then = before[name]
        ended, hint = then.pid and then.pid != now.pid, f"start it again: make start ROLE={name}"
        if ended and now.pid:
            lines.append(f"{name} (process {then.pid}) was replaced")
        elif ended and now.state == "STOPPED":
            lines.append(f"{name} (process {then.pid}) was stopped; {hint}")
        elif ended:
            how = "was killed" if now.exit_status == -1 else f"ended with status {now.exit_status}"
            lines.append(f"{name} (process {then.pid}) {how}; {hint}")
            last_line = stack.log(name).strip().rsplit("\n", 1)[-1][:200]
            if now.exit_status > 0 and last_line:
                lines.append(f"  its log ends: {last_line}")
        if now.pid and now.pid != then.pid:
            lines.append(f"{name} started (process {now.pid})")
    return lines


def watch(stack: Stack, console: Console, started: float) -> None:
    """Show what happens until an exception (Ctrl-C) ends it.

    Args:
        stack: what to watch.
        console: where to show it.
        started: when the stack was started, by ``time.monotonic()``.
    """
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
    """Announce the first reports once all symbols have one, or what is missing after a minute; whether it did."""
    symbols, keys = stack.settings.symbols, stack.settings.keys
    try:
        found = dict(zip(symbols, client.mget([keys.report(symbol) for symbol in symbols]), strict=True))
    except redis.RedisError as error:
        problem = f"Redis does not answer ({error})"
    else:
        missing = [symbol for symbol, report in found.items() if report is None]
        if not missing:
            written = defaultdict(list)
            for symbol, report in found.items():
                written[json.loads(report or "")["writer"]["nodeId"]].append(symbol)
            console.say(f"\n{_count(len(symbols))} live, {waited_s:.1f} s after the start:")
            for node, its_symbols in sorted(written.items()):
                console.say(f"  {node} writes {' '.join(its_symbols)}")
            console.say("\nCtrl-C stops everything.\n")
            return True
        problem = f"no report of {' '.join(missing)}"
    if waited_s > FIRST_REPORTS_TIMEOUT_S:
        logs = _relative(stack.state_dir) / "logs"
        console.say(f"After {waited_s:.0f} s: {problem}. See: make status, and the logs in {logs}")
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
