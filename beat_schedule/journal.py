"""What a leading dispatcher observes, left to a thread that records it as events: nodes, the assignment and its lead."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from beat_schedule.event_recorder import AssignmentChange, EventRecorder, Observation
from tickfence.coordination.desired import Change
from tickfence.coordination.leadership import Lead, LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.monitoring import dispatcher_metrics as metrics
from tickfence.timeline.writer import EventWriter


class Journal:
    """Collects what a leading dispatcher observes, and has it recorded by a thread. Never waits, never raises.

    Args:
        url: the data plane.
        keys: the deployment's keys.
        name: the dispatcher's.
    """

    def __init__(self, url: str, keys: Keys, name: str) -> None:
        self._writer: EventWriter[Observation] = EventWriter(
            url, "nt:events", EventRecorder(name, keys).record, metrics.event_errors.inc
        )
        self._term_began: Lead | None = None
        self._adopted: frozenset[Owner] = frozenset()
        self._noted: tuple[Any, ...] = ()

    @property
    def lost_data(self) -> bool:
        """Whether Redis had lost data when the present lead began."""
        return self._term_began is not None and self._term_began.lost

    def note_lead(self, lead: Lead) -> None:
        """Note one poll of a leader."""
        if lead.reason is not None:
            self._term_began = lead

    def note_adopted(self, owners: Collection[Owner]) -> None:
        """Note the owners in the assignment that a new leader begins with."""
        self._adopted = frozenset(owners)

    def note(
        self,
        term: int,
        live: Collection[Owner],
        departed: Mapping[Owner, NodeReason],
        set_aside: Mapping[Instrument, tuple[str, ...]],
        wanted: tuple[Change, ...],
        change: AssignmentChange | None,
    ) -> None:
        """Note what there is; it is recorded if any of it changed.

        Args:
            term: the leader's.
            live: the nodes that may get symbols.
            departed: why other owners may not: they are gone, stuck or drained.
            set_aside: symbols that no node gets -> the nodes that got stuck with them.
            wanted: the last changes of the desired state.
            change: the assignment that was published, if one was.
        """
        noted = frozenset(live), dict(departed), dict(set_aside), wanted
        if change is None and self._noted == noted:
            return
        self._noted = noted
        reason = (self._term_began and self._term_began.reason) or LeaderReason.RENEWED
        self._writer.put(Observation(term, reason, noted[0], noted[1], self._adopted, change, noted[2], wanted))

    def close(self) -> None:
        """Wait a moment for what is still to be recorded, then end the thread."""
        self._writer.close()
