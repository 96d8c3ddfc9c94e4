"""Events of what a leading dispatcher observed, each recorded once, also when the leader changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from tickfence.coordination.controller import Move, MoveReason
from tickfence.coordination.desired import Change
from tickfence.coordination.leadership import LeaderReason
from tickfence.coordination.membership import NodeReason
from tickfence.coordination.owner import Owner
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.timeline import events
from tickfence.timeline.events import Event, Fields, Kind, Moves, SymbolReason

_REMEMBERED = 1000

_DEPARTURES = {
    NodeReason.DIED: MoveReason.DIED,
    NodeReason.SILENT: MoveReason.SILENT,
    NodeReason.LEFT: MoveReason.LEFT,
    NodeReason.STUCK: MoveReason.STUCK,
    NodeReason.DRAINED: MoveReason.DRAINED,
}
_GRAVEST_FIRST = (
    *_DEPARTURES.values(),
    MoveReason.FIRST,
    MoveReason.DATA_LOST,
    MoveReason.SYMBOLS,
    MoveReason.JOINED,
    MoveReason.REBALANCE,
)
"""A change may have several reasons. It is recorded with the first of them in this order."""

_STILL_ALIVE = (NodeReason.STUCK, NodeReason.DRAINED)
"""A node that is out for one of these reasons may still leave or die."""


class AssignmentChange(NamedTuple):
    """An assignment that was published.

    Attributes:
        generation: its number.
        moves: the symbols that changed their owner.
        dropped: symbols that are no longer reported on -> their last owner.
        first: whether no symbol had an owner before.
        lost: whether Redis has lost the assignment before.
    """

    generation: int
    moves: Collection[Move] = ()
    dropped: Mapping[Instrument, Owner] = {}
    first: bool = False
    lost: bool = False


class Observation(NamedTuple):
    """What one poll of a leading dispatcher found.

    Attributes:
        term: the term in which it leads.
        reason: how it got the lead.
        live: the nodes that may get symbols.
        departed: why other owners may not: they are gone, stuck or drained.
        adopted: the owners in the assignment that it began with.
        change: the assignment that it published, if it did.
        set_aside: symbols that no node gets -> the nodes that got stuck with them.
        wanted: the last changes of the desired state, oldest first.
    """

    term: int
    reason: LeaderReason
    live: Collection[Owner]
    departed: Mapping[Owner, NodeReason]
    adopted: Collection[Owner] = ()
    change: AssignmentChange | None = None
    set_aside: Mapping[Instrument, tuple[str, ...]] = {}
    wanted: Collection[Change] = ()


class EventRecorder:
    """Turns observations into events and appends those that the stream does not have.

    The stream itself shows what is recorded: a new leader reads there what the leader before it recorded, and a leader
    whose last append may or may not have arrived reads whether it did. So nothing is recorded twice. If a leader dies
    together with a node, the next one records the node's death. A leader whose term is over records nothing.

    Args:
        by: the dispatcher's name.
        keys: the deployment's keys.
    """

    def __init__(self, by: str, keys: Keys) -> None:
        self.by = by
        self.keys = keys
        self._read_in = 0  # the term in which the stream was read
        self._term = 0  # of the newest lead that is recorded
        self._generation = 0  # of the newest assignment that is recorded
        self._nodes: dict[Owner, NodeReason] = {}  # the last record of each owner
        self._set_aside: set[Instrument] = set()  # as recorded
        self._desired = 0  # version of the newest change of the desired state that is recorded
        self._seen_ms = 0  # of the latest id

    def record(self, client: Any, observation: Observation) -> None:
        """Append what is new in ``observation``. If that fails, it may be called with it again.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or refused some of it.
        """
        if int(client.hget(self.keys.dispatcher, "term") or 0) > observation.term:
            return
        if self._read_in != observation.term:
            recorded = events.read(client, self.keys, limit=events.KEPT)
            self.learn(recorded)
            if len(recorded) == events.KEPT:  # older events are gone, such as that an owner joined
                for owner in observation.adopted:
                    self._nodes.setdefault(owner, NodeReason.JOINED)
                self._desired = max(
                    [self._desired, *(one.version for one in observation.wanted if one.at_ms < recorded[0].at_ms)]
                )
            self._read_in = observation.term
        departed = self._departures(client, observation)
        new = self.new_events(observation._replace(departed=departed))
        if not new:
            return
        identity = events.next_id(client, self.keys, self._seen_ms)
        pipe = client.pipeline(transaction=False)
        for fields in new:
            events.queue_append(pipe, self.keys, fields, identity)
            identity = "*"
        self._read_in = 0  # until the reply it is unknown what has arrived
        ids = pipe.execute()
        self._seen_ms = max(self._seen_ms, events.place(ids[-1])[0])
        self._read_in = observation.term
        self.learn(Event("", 0, fields["kind"], fields["reason"], fields) for fields in new)

    def learn(self, recorded: Iterable[Event]) -> None:
        """Process events that are in the stream, oldest first."""
        for event in recorded:
            fields = event.fields
            self._seen_ms = max(self._seen_ms, event.at_ms)
            if event.kind == Kind.NODE and event.reason in list(NodeReason):
                owner = Owner(fields.get("node", ""), fields.get("incarnation", ""))
                self._nodes[owner] = NodeReason(event.reason)
            elif event.kind == Kind.LEADER:
                self._term = max(self._term, _number(fields.get("term")))
            elif event.kind == Kind.MOVED:
                self._generation = max(self._generation, _number(fields.get("generation")))
            elif event.kind == Kind.DESIRED:
                self._desired = max(self._desired, _number(fields.get("version")))
            elif event.kind == Kind.SYMBOL:
                known = self._set_aside.add if event.reason == SymbolReason.SET_ASIDE else self._set_aside.discard
                known(Instrument(fields.get("symbol", "")))
        departed = list(self._recorded_departures())
        for owner in departed[:-_REMEMBERED]:
            del self._nodes[owner]

    def new_events(self, observation: Observation) -> list[Fields]:
        """The events that ``observation`` shows and the stream does not have."""
        term, departed = observation.term, observation.departed
        found = []
        if term > self._term:
            found.append(events.leader_event(observation.reason, self.by, term))
        for owner in sorted(observation.live):
            if self._nodes.get(owner) is not NodeReason.JOINED:
                found.append(events.node_event(NodeReason.JOINED, owner, term))
        for owner in self._unrecorded_departures(observation):
            found.append(events.node_event(departed.get(owner, NodeReason.DIED), owner, term))
        found += self._symbol_events(observation)
        found += [events.desired_event(one) for one in observation.wanted if one.version > self._desired]
        change = observation.change
        # A new leader publishes the assignment that it found, too. That is not an event.
        if change and change.generation > self._generation and (change.moves or change.dropped or change.lost):
            reason = _reason(change, {**departed, **self._recorded_departures()})
            found.append(events.moved_event(reason, change.generation, term, self.by, _moves(change)))
        return found

    def _symbol_events(self, observation: Observation) -> list[Fields]:
        term, set_aside = observation.term, observation.set_aside
        new = [(SymbolReason.SET_ASIDE, symbol) for symbol in sorted(set_aside.keys() - self._set_aside)]
        new += [(SymbolReason.RESUMED, symbol) for symbol in sorted(self._set_aside - set_aside.keys())]
        return [events.symbol_event(reason, symbol, term, set_aside.get(symbol, ())) for reason, symbol in new]

    def _unrecorded_departures(self, observation: Observation) -> list[Owner]:
        """Owners that may get no symbols, but are alive by the stream or by the assignment that the leader began with.

        Those whose last record is that they are stuck or drained, and that are gone by now, too.
        """
        joined = {owner for owner, reason in self._nodes.items() if reason is NodeReason.JOINED}
        gone = {
            owner
            for owner, reason in self._nodes.items()
            if reason in _STILL_ALIVE and observation.departed.get(owner, reason) is not reason
        }
        known = joined | (set(observation.adopted) - self._recorded_departures().keys()) | gone
        return sorted(known - set(observation.live))

    def _recorded_departures(self) -> dict[Owner, NodeReason]:
        return {owner: reason for owner, reason in self._nodes.items() if reason is not NodeReason.JOINED}

    def _departures(self, client: Any, observation: Observation) -> dict[Owner, NodeReason]:
        """The observed departures, and those of before the leader's first poll."""
        departed = dict(observation.departed)
        for owner in self._unrecorded_departures(observation):
            if owner not in departed:
                incarnation, left = client.hmget(self.keys.node(owner.node), "incarnation", "left")
                in_order = left is not None and incarnation == owner.incarnation.encode()
                departed[owner] = NodeReason.LEFT if in_order else NodeReason.DIED
        return departed


def _reason(change: AssignmentChange, departed: Mapping[Owner, NodeReason]) -> MoveReason:
    unowned = MoveReason.FIRST if change.first else MoveReason.SYMBOLS
    found = {MoveReason.SYMBOLS} if change.dropped else set()
    for move in change.moves:
        if move.source is None:
            found.add(MoveReason.DATA_LOST if change.lost else unowned)
        elif move.reason == "orphan":
            found.add(_DEPARTURES[departed.get(move.source, NodeReason.DIED)])
        else:
            found.add(MoveReason.JOINED if move.reason == "join" else MoveReason.REBALANCE)
    return next((reason for reason in _GRAVEST_FIRST if reason in found), MoveReason.DATA_LOST)


def _moves(change: AssignmentChange) -> Moves:
    moved: Moves = {move.symbol: (move.source and move.source.node, move.target.node) for move in change.moves}
    return moved | {symbol: (owner.node, None) for symbol, owner in change.dropped.items()}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
