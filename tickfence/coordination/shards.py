"""Shards of dispatch: each beat sends for some of the symbols. Which beat for which, and how beats and readers learn it.

One beat leads: it assigns symbols to nodes, and shards to the beats that live. Each beat sends the messages for the
symbols of its shards. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import NamedTuple
from zlib import crc32

from tickfence.coordination.assignment import assign
from tickfence.instrument import Instrument


class ShardLead(NamedTuple):
    """Who sends for one shard.

    Attributes:
        beat: the dispatcher's name, different for every process start.
        term: number of this lead of the shard; only grows. A node refuses a message of an earlier term.
    """

    beat: str
    term: int


class Shards(NamedTuple):
    """Who sends for which shard.

    Attributes:
        term: of the leader that decided it. It holds as long as that one is the last to have led.
        leads: one for each shard, by its number.
    """

    term: int = 0
    leads: tuple[ShardLead, ...] = ()

    def of(self, beat: str) -> dict[int, int]:
        """The shards that a dispatcher sends for -> their terms."""
        return {number: lead.term for number, lead in enumerate(self.leads) if lead.beat == beat}

    @property
    def newest(self) -> int:
        """The highest term of a shard; 0 if there is none."""
        return max((lead.term for lead in self.leads), default=0)

    def next(self, term: int, beats: Sequence[str], newest: int = 0) -> Shards:
        """What the leader of ``term`` notes so that these dispatchers send, one for each shard.

        A shard keeps its term while its dispatcher and the leader stay. Every new term is above all that there are, and
        above ``newest``, the highest one that the leader has seen: Redis may have lost it.
        """
        if self.term == term and [lead.beat for lead in self.leads] == list(beats):
            return self
        new = max(term, self.newest + 1, newest + 1)
        goes_on = self.term == term and len(self.leads) == len(beats)
        before = self.leads if goes_on else (ShardLead("", 0),) * len(beats)
        pairs = zip(before, beats, strict=True)
        return Shards(term, tuple(lead if lead.beat == beat else ShardLead(beat, new) for lead, beat in pairs))

    def to_json(self) -> str:
        """What :func:`parse_shards` reads."""
        return json.dumps([self.term, self.leads], separators=(",", ":"))


def parse_shards(text: bytes | str) -> Shards:
    """The shards in a text. One that is not readable holds none: the leader soon writes another.

    Example:
        >>> parse_shards('[7,[["beat-1/5f0c",7]]]').of("beat-1/5f0c")
        {0: 7}
    """
    try:
        term, leads = json.loads(text)
        return Shards(int(term), tuple(ShardLead(str(beat), int(of)) for beat, of in leads))
    except (ValueError, TypeError, OverflowError):
        return Shards()


def shard_of(symbol: Instrument, count: int) -> int:
    """The shard of a symbol, of ``count`` shards. It follows from the name alone.

    Example:
        >>> shard_of("BTCUSDT", 3), shard_of("ETHUSDT", 3)
        (0, 0)
    """
    return crc32(symbol.encode()) % count if count > 1 else 0


def share_shards(count: int, beats: Collection[str], present: Sequence[str], *, settled: bool) -> list[str]:
    """Share the shards among the beats by HRW with bounded loads, as symbols among nodes. As few as possible move.

    Args:
        count: how many shards there are.
        beats: the names of those that may have some; at least one.
        present: who has each shard now; of another length if there is none yet.
        settled: whether shards may move for balance; otherwise only those whose beat may have none any more do.

    Returns:
        A beat for each shard.

    Example:
        >>> sorted(share_shards(2, ["beat-1/a", "beat-2/b"], [], settled=True))
        ['beat-1/a', 'beat-2/b']
    """
    shards = [Instrument(str(number)) for number in range(count)]
    current = dict(zip(shards, present, strict=False)) if len(present) == count else {}
    # All beats are alike, so no shard is worth a move but for balance.
    chosen = assign(
        shards, dict.fromkeys(beats, 1.0), current, pinned=() if settled else shards, sticky=1e6, load_factor=1
    )
    return [chosen[shard] for shard in shards]
