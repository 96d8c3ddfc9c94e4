"""What is older than Redis keeps, from recordings; where they cannot be read, a note stands in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from tickfence.analytics.history_row import HistoryRow
from tickfence.timeline.events import Event

_MISSING = "recordings cannot be read here: pip install 'tickfence[recordings]'"

Row = TypeVar("Row")


class Recorded(NamedTuple, Generic[Row]):
    """What recordings have.

    Attributes:
        rows: Oldest first.
        note: Why there are none, as the end of a sentence; ``None`` if there are some.
    """

    rows: Sequence[Row] = ()
    note: str | None = None


class Archive:
    """Asks recordings without making others wait."""

    async def history(self, *_: object) -> Recorded[HistoryRow]:
        """Return the first rows of a range."""
        return Recorded(note=_MISSING)

    async def events(self, *_: object) -> Recorded[Event]:
        """Return the first events of a span."""
        return Recorded(note=_MISSING)

    def close(self) -> None:
        """Ask no more."""
