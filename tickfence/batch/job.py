"""What a batch job is to do, and how each of its partitions ended. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from tickfence.batch.partition import Partition
from tickfence.instrument import Instrument

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Job(Struct, frozen=True, rename="camel"):
    """A job, as its record in Redis and the file beside its output keep it.

    Attributes:
        id: its id.
        created_ms: server ms of its start.
        source: folder or URL of the recordings.
        output: folder or URL of the reports.
        every_ms: time between two reports; ``None``: at the times of the live ones.
        partitions: its units of work, in the order in which they are sent out.
        by: who started it.
    """

    id: str
    created_ms: int
    source: str
    output: str
    every_ms: int | None
    partitions: tuple[Partition, ...]
    by: str = ""

    @property
    def span(self) -> tuple[int, int]:
        """Its first ms, and the ms after its last."""
        return min(part.from_ms for part in self.partitions), max(part.to_ms for part in self.partitions)

    @property
    def symbols(self) -> tuple[Instrument, ...]:
        """Its symbols, each once."""
        return tuple(dict.fromkeys(part.symbol for part in self.partitions))

    def partition(self, name: str) -> Partition | None:
        """The partition called ``name``."""
        return next((part for part in self.partitions if part.name == name), None)


class Done(Struct, frozen=True, rename="camel", tag="done", tag_field="result"):
    """A partition whose reports are complete.

    Attributes:
        file: name of the file in the job's output that holds them, and the only one that does.
        reports: how many there are.
        not_warm: how many of them were not made from all that the live report was made from.
        worker: who made them.
        ms: how long that took.
    """

    file: str
    reports: int
    not_warm: int = 0
    worker: str = ""
    ms: int = 0


class Failed(Struct, frozen=True, rename="camel", tag="failed", tag_field="result"):
    """A partition that could not be finished so far.

    Attributes:
        generation: number of the dispatch that failed.
        attempts: how many have failed.
        reason: why the last one did, in one line.
        at_ms: server ms at which it did.
        worker: who worked on it.
    """

    generation: int
    attempts: int
    reason: str
    at_ms: int
    worker: str = ""


Result = Done | Failed

_encode = msgspec.json.Encoder().encode
_decode_job = msgspec.json.Decoder(Job).decode
_decode_result: Callable[[bytes], Result] = msgspec.json.Decoder(Result).decode


def encode(stored: Job | Done | Failed) -> bytes:
    """What is stored."""
    return _encode(stored)


def decode_job(data: bytes) -> Job:
    """The job of which ``data`` is the encoding.

    Raises:
        ValueError: it is none.
    """
    return _decode_job(data)


def decode_result(data: bytes) -> Result:
    """The result of which ``data`` is the encoding.

    Raises:
        ValueError: it is none.
    """
    return _decode_result(data)


def new_id(now_ms: int, random: str) -> str:
    """A job's id: when it began, and what tells it from another of the same second.

    Example:
        >>> new_id(1_796_205_600_000, "3f9a")
        '20261202-100000-3f9a'
    """
    return f"{datetime.fromtimestamp(now_ms // 1000, UTC):%Y%m%d-%H%M%S}-{random}"
