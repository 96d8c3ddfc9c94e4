"""What a leading dispatcher tells of nodes, of the assignment and of its lead: each thing once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tickfence.coordination.controller import Move, MoveReason
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline.events import Event, Fields, Kind, Moves

_REMEMBERED = 1000

_DEPARTURES = {
    NodeReason.DIED: MoveReason.DIED,
    NodeReason.SILENT: MoveReason.SILENT,
    NodeReason.LEFT: MoveReason.LEFT,
}
_GRAVEST_FIRST = (
    *_DEPARTURES.values(),
    MoveReason.FIRST,
    MoveReason.DATA_LOST,
    MoveReason.SYMBOLS,
    MoveReason.JOINED,
    MoveReason.REBALANCE,
)
"""A change may have several reasons, and is told under one."""


class Change(NamedTuple):
    """An assignment that was published.

    Attributes:
        generation: its number.
        moves: what changed hands.
        dropped: symbols that nobody reports on any more, and who did.
        first: whether no symbol had an owner before.
        lost: whether Redis has lost the one before.
    """

    generation: int
    moves: Collection[Move] = ()
    dropped: Mapping[Instrument, Owner] = {}
    first: bool = False
    lost: bool = False


class Seen(NamedTuple):
    """What one look of a leading dispatcher found.

    Attributes:
        term: in which it leads.
        reason: how it came to lead.
        live: the nodes.
        gone: by which sign others were judged to be gone.
        adopted: owners in the assignment that it began with.
        change: the assignment it published, if it did.
    """

    term: int
    reason: LeaderReason
    live: Collection[Owner]
    gone: Mapping[Owner, NodeReason]
    adopted: Collection[Owner] = ()
    change: Change | None = None


class Chronicle:
    """Turns what a leader sees into events.

    What has been told stands in the stream. There a new leader reads what the one before it told, and a leader whose
    last append may or may not have arrived, whether it did. So nothing is told twice; and a death that went untold,
    since the leader died with the node, is told by the next one. A leader whose term is over tells nothing any more.

    Parameters:
        by: the dispatcher's name.
    """

    def __init__(self, by: str, keys: Keys) -> None:
        self.by = by
        self.keys = keys
        self._read_in = 0  # the term in which the stream has been read
        self._term = 0  # of the newest lead that was told
        self._generation = 0  # of the newest assignment that was told
        self._nodes: dict[Owner, NodeReason] = {}  # what was last told of each

    def write(self, client: Any, seen: Seen) -> None:
        """Append what is new in ``seen``; where that failed, it may be called with it again.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or refused some of it.
        """
        if int(client.hget(self.keys.dispatcher, "term") or 0) > seen.term:
            return
        if self._read_in != seen.term:
            told = events.read(client, self.keys, limit=events.KEPT)
            self.learn(told)
            if len(told) == events.KEPT:  # older ones are not there any more, such as that of an owner's coming
                for owner in seen.adopted:
                    self._nodes.setdefault(owner, NodeReason.JOINED)
            self._read_in = seen.term
        news = self.news(seen._replace(gone=self._signs(client, seen)))
        if not news:
            return
        pipe = client.pipeline(transaction=False)
        for fields in news:
            events.queue_append(pipe, self.keys, fields)
        self._read_in = 0  # what of it arrives is not known before the reply
        pipe.execute()
        self._read_in = seen.term
        self.learn(Event("", 0, fields["kind"], fields["reason"], fields) for fields in news)

    def learn(self, told: Iterable[Event]) -> None:
        """Take in events that are in the stream, oldest first."""
        for event in told:
            fields = event.fields
            if event.kind == Kind.NODE and event.reason in list(NodeReason):
                owner = Owner(fields.get("node", ""), fields.get("incarnation", ""))
                self._nodes[owner] = NodeReason(event.reason)
            elif event.kind == Kind.LEADER:
                self._term = max(self._term, _number(fields.get("term")))
            elif event.kind == Kind.MOVED:
                self._generation = max(self._generation, _number(fields.get("generation")))
        departed = [owner for owner, reason in self._nodes.items() if reason is not NodeReason.JOINED]
        for owner in departed[:-_REMEMBERED]:
            del self._nodes[owner]

    def news(self, seen: Seen) -> list[Fields]:
        """What of ``seen`` has not been told."""
        term, found = seen.term, []
        if term > self._term:
            found.append(events.leader_event(seen.reason, self.by, term))
        for owner in sorted(seen.live):
            if self._nodes.get(owner) is not NodeReason.JOINED:
                found.append(events.node_event(NodeReason.JOINED, owner, term))
        for owner in self._departed(seen):
            found.append(events.node_event(seen.gone.get(owner, NodeReason.DIED), owner, term))
        change = seen.change
        # A new leader publishes what it found, too: that is no news.
        if change and change.generation > self._generation and (change.moves or change.dropped or change.lost):
            reason = _reason(change, {**seen.gone, **self._told_gone()})
            found.append(events.moved_event(reason, change.generation, term, self.by, _moves(change)))
        return found

    def _departed(self, seen: Seen) -> list[Owner]:
        """Owners that were told to be alive, or were when the leader before published, and are not."""
        alive = {owner for owner, reason in self._nodes.items() if reason is NodeReason.JOINED}
        return sorted((alive | set(seen.adopted)) - set(seen.live) - self._told_gone().keys())

    def _told_gone(self) -> dict[Owner, NodeReason]:
        return {owner: reason for owner, reason in self._nodes.items() if reason is not NodeReason.JOINED}

    def _signs(self, client: Any, seen: Seen) -> dict[Owner, NodeReason]:
        """``seen.gone``, with those that were gone before anybody looked."""
        signs = dict(seen.gone)
        for owner in self._departed(seen):
            if owner not in signs:
                incarnation, left = client.hmget(self.keys.node(owner.node), "incarnation", "left")
                in_order = left is not None and incarnation == owner.incarnation.encode()
                signs[owner] = NodeReason.LEFT if in_order else NodeReason.DIED
        return signs


def _reason(change: Change, gone: Mapping[Owner, NodeReason]) -> MoveReason:
    unowned = MoveReason.FIRST if change.first else MoveReason.SYMBOLS
    found = {MoveReason.SYMBOLS} if change.dropped else set()
    for move in change.moves:
        if move.source is None:
            found.add(MoveReason.DATA_LOST if change.lost else unowned)
        elif move.reason == "orphan":
            found.add(_DEPARTURES[gone.get(move.source, NodeReason.DIED)])
        else:
            found.add(MoveReason.JOINED if move.reason == "join" else MoveReason.REBALANCE)
    return next((reason for reason in _GRAVEST_FIRST if reason in found), MoveReason.DATA_LOST)


def _moves(change: Change) -> Moves:
    moved: Moves = {move.symbol: (move.source and move.source.node, move.target.node) for move in change.moves}
    return moved | {symbol: (owner.node, None) for symbol, owner in change.dropped.items()}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
