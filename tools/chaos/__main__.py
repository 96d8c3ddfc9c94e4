"""`python -m tools.chaos`: inject faults into a real stack, check every write, measure how long reports are missing."""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.chaos import campaign, history, summary
from tools.chaos.faults import BY_NAME, CHOSEN, KINDS
from tools.chaos.frozen_writers import describe_frozen_writers
from tools.chaos.gaps import describe_regularity, regularity
from tools.chaos.injector import STEADY_TIMEOUT_S
from tools.chaos.machine import describe_stalls, growth
from tools.chaos.machine import table as memory_table
from tools.local.embedded_redis import RedisUnavailable
from tools.local.supervision import SupervisionError

SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """The parser of all options."""
    p = argparse.ArgumentParser(
        prog="python -m tools.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="kinds of faults:\n" + "\n".join(f"  {k.name:<18} {k.description}" for k in KINDS if k.inject),
    )
    p.add_argument(
        "--minutes", type=_positive(float), default=10.0, help="how long to inject faults (default: %(default)g)"
    )
    p.add_argument("--faults", type=_positive(int), help="how many faults at most (default: no limit)")
    p.add_argument(
        "--seed", type=int, help="the same seed gives the same faults (default: a random one, which is printed)"
    )
    p.add_argument("--only", default="", help="kinds of faults, comma-separated (default: all)")
    p.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the roles; may be repeated"
    )
    p.add_argument(
        "--record", action="store_true", help="recorders write all market data; compare their files with a witness"
    )
    p.add_argument("--out", type=Path, help="folder for history, table, plot and logs (default: a new temporary one)")
    p.add_argument("--check", type=Path, metavar="FILE", help="check a saved history instead of making one")
    return p


def main() -> int:
    """Carry out the command line.

    Returns:
        The exit status: 0 without violations and with every budget kept, 1 otherwise, 2 if there is no verdict.
    """
    arguments = parser().parse_args()
    try:
        if arguments.check:
            records = history.load(arguments.check)
            if not any(isinstance(record, history.Write) for record in records):
                raise ValueError(f"--check {arguments.check}: must be a history with writes, and this one has none")
            return report(campaign.judge(records), None, f"history {arguments.check}")
        return run_campaign(arguments)
    except (RedisUnavailable, SupervisionError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: no verdict", file=sys.stderr)
        return 2


def run_campaign(arguments: argparse.Namespace) -> int:
    """Run the campaign that the options describe and report on it; returns the exit status.

    Raises:
        ValueError: an option is not accepted.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    only = [name for name in arguments.only.split(",") if name]
    if unknown := [name for name in only if name not in BY_NAME or not BY_NAME[name].inject]:
        raise ValueError(f"--only {','.join(unknown)}: must be of {', '.join(CHOSEN)}")
    if unrecorded := [name for name in only if BY_NAME[name].recorded and not arguments.record]:
        raise ValueError(f"--only {','.join(unrecorded)}: needs --record")
    for name in [*only] or [kind.name for kind in KINDS]:
        if BY_NAME[name].skip:
            print(f"{name} is skipped: {BY_NAME[name].skip}")
    only = [name for name in only if not BY_NAME[name].skip]
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    out = arguments.out or Path(tempfile.mkdtemp(prefix="tickfence-chaos-"))
    out.mkdir(parents=True, exist_ok=True)
    title = (
        f'make chaos ARGS="--minutes {arguments.minutes:g} --seed {seed}{" --only " + arguments.only if only else ""}'
        f"{f' --faults {arguments.faults}' if arguments.faults else ''}{' --record' if arguments.record else ''}"
        f'{"".join(f" --set {text}" for text in arguments.set)}"'
    )
    print(f"{title}\nlogs and results: {out}   load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    outcome = campaign.run(
        out,
        seed=seed,
        seconds=arguments.minutes * 60,
        only=only,
        max_faults=arguments.faults,
        environment=_environment(arguments.set),
        record=arguments.record,
        say=lambda line: print(line, flush=True),
    )
    history.save(outcome.records, out / "history.jsonl")
    return report(outcome, out, title)


def _positive(number_type: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = number_type(text)
        except ValueError:
            number = number_type(-1)
        if not 0 < number < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
        return number

    return parse


def _environment(given: list[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts.

    Raises:
        ValueError: a text has another form.
    """
    for text in given:
        if not text.partition("=")[1]:
            raise ValueError(f"--set {text}: must be NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


def report(outcome: campaign.Outcome, out: Path | None, title: str) -> int:
    """Print the verdict and the table, and write them and the plot to ``out``; returns the exit status."""
    verdict = outcome.verdict
    lines = [
        summary.table(outcome.gaps, outcome.faults, outcome.conflicts),
        "",
        f"{outcome.chosen} faults and {outcome.faults.total() - outcome.chosen} that followed from them, "
        f"{verdict.writes} accepted writes, {verdict.acquisitions} lease acquisitions, "
        f"{verdict.books_compared} books compared with the exchanges', {verdict.appends} updates of one writer each.",
        f"Violations: {len(verdict.violations)}. Undue lease conflicts: {outcome.undue_conflicts}.",
    ]
    proofs = (
        describe_frozen_writers(outcome.records),
        describe_regularity(regularity(outcome.records)),
        describe_stalls(outcome.records),
    )
    lines += [line for line in proofs if line]
    lines += [f"Recordings: {outcome.recordings}"] if outcome.recordings else []
    lines += [f"  {violation}" for violation in verdict.violations[:SHOWN]]
    if outcome.unsteady:
        lines.append(f"Not steady within {STEADY_TIMEOUT_S:g} s after: {', '.join(outcome.unsteady)}.")
    if grown := growth(outcome.records):
        lines += ["", memory_table(grown)]
    text = "\n".join(lines)
    print(f"\n{text}")
    if out is not None:
        (out / "table.md").write_text(f"{text}\n")
        summary.plot(outcome.gaps, out / "gaps.png", title)
    bad = verdict.violations or outcome.undue_conflicts or outcome.unsteady or summary.over_budget(outcome.gaps)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
