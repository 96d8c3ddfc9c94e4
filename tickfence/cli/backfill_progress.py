"""How ``celery backfill`` shows a job: a bar on a terminal, else a line for each partition; at the end, what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tickfence.batch.job import Done, Failed, Job
from tickfence.batch.scheduling import Scheduler
from tickfence.cli import session
from tickfence.cli.style import duration
from tickfence.coordination.membership import NodeRecord


class Progress:
    """Tells how a job goes on. What was said is not said again.

    Args:
        job: the job.
        quiet: tell nothing, for programs.

    Attributes:
        seconds: since the job began, or went on.
    """

    def __init__(self, job: Job, *, quiet: bool) -> None:
        self._job, self._quiet = job, quiet
        self._began = time.monotonic()
        self._before: set[str] | None = None
        self._told: set[str] = set()
        self._noted = ""
        self._bar: Bar | None = None
        if not quiet and sys.stdout.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[told]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=session.console(),
            )
            self._task = self._bar.add_task(job.id, total=len(job.partitions), told="")

    @property
    def seconds(self) -> float:
        """See above."""
        return time.monotonic() - self._began

    def look(self, scheduler: Scheduler, workers: list[NodeRecord]) -> None:
        """Show what has changed; called several times a second."""
        self._noted = "" if workers else self._noted
        done = scheduler.done
        ended: dict[str, Done | Failed] = {**done, **scheduler.set_aside}
        for name in ended.keys() - self._told:
            if self._before is not None:
                self._say(f"{name}: {_told(ended[name])} ({len(self._told) + 1} of {len(self._job.partitions)})")
            self._told.add(name)
        self._before = self._before or set()
        if self._bar is not None:
            reports = sum(result.reports for result in done.values())
            told = f"{reports:,} reports, {len(workers)} worker{'' if len(workers) == 1 else 's'}"
            self._bar.update(self._task, completed=len(ended), told=told)

    def note(self, line: str) -> None:
        """Tell of trouble, once while it lasts."""
        if line != self._noted:
            self._say(line)
            self._noted = line

    def _say(self, line: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(escape(line))
        else:
            click.echo(line, err=True)

    def __enter__(self) -> Self:
        self._say(f"job {self._job.id}: {len(self._job.partitions)} partitions, to {self._job.output}")
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class Summary(NamedTuple):
    """What came of a job.

    Attributes:
        job: the job.
        done: its finished partitions.
        set_aside: those that failed too often.
        seconds: that this command took.
    """

    job: Job
    done: Mapping[str, Done]
    set_aside: Mapping[str, Failed]
    seconds: float

    @classmethod
    def of(cls, job: Job, scheduler: Scheduler, seconds: float) -> Summary:
        """The summary of a job that is over."""
        return cls(job, scheduler.done, scheduler.set_aside, seconds)

    @property
    def reports(self) -> int:
        """How many reports there are."""
        return sum(done.reports for done in self.done.values())

    @property
    def not_warm(self) -> int:
        """How many of them were not made from all that the live ones were made from."""
        return sum(done.not_warm for done in self.done.values())

    def data(self) -> dict[str, Any]:
        """The summary for programs."""
        return {
            "job": self.job.id,
            "output": self.job.output,
            "partitions": len(self.job.partitions),
            "done": len(self.done),
            "setAside": {name: failed.reason for name, failed in self.set_aside.items()},
            "reports": self.reports,
            "notWarm": self.not_warm,
            "seconds": round(self.seconds, 3),
            "workSeconds": round(sum(done.ms for done in self.done.values()) / 1000, 3),
        }

    def text(self) -> Text:
        """The summary for people."""
        took = duration(round(self.seconds * 1000))
        lines = [f"{self.reports:,} reports of {len(self.done)} partitions in {took}: {self.job.output}"]
        if self.job.every_ms is None and self.done and not self.reports:
            lines.append("no live report's inputs are recorded there; --every 250ms computes reports without them")
        if self.not_warm:
            lines.append(
                f"{self.not_warm:,} of them lack something that was not recorded, and may differ from live ones"
            )
        if self.set_aside:
            lines.append(f"{len(self.set_aside)} partitions are set aside; try them again: --resume {self.job.id}")
            lines += [f"  {name}: {failed.reason}" for name, failed in self.set_aside.items()]
        return Text("\n".join(lines))


def _told(result: Done | Failed) -> str:
    if isinstance(result, Done):
        by = result.worker.rpartition("/")[0]
        return f"{result.reports:,} reports in {duration(result.ms)}" + (f" by {by}" if by else "")
    return f"set aside after {result.attempts} attempts: {result.reason}"
