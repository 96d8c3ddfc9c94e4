"""Who records a source, and which entries are whose. No I/O.

Positions are noted under a fencing token, and only after the entries are in the write-ahead log for good. Each token
begins where the one before it had noted last. So the entries of a stream are cut into ranges, one a token, and each range
is complete in the log of the one recorder that had the token. What a log holds beyond its range, another recorder has
read again: it was written by one that was paused or killed before it could note it, and is left out.

The rule itself is in ``lua/acquire.lua`` and ``lua/note.lua``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from tickfence.redis_access.command import Command
from tickfence.redis_access.scripts import Argument, Script

ACQUIRE = Script("coordination/lua/fencing.lua", "recorder/lua/acquire.lua")
NOTE = Script("coordination/lua/fencing.lua", "recorder/lua/note.lua")
RELEASE = Script("recorder/lua/release.lua")

Positions = Mapping[str, str]
"""Kind -> position: a stream's id, or the digest of a polled value."""


class Start(msgspec.Struct, frozen=True):
    """Where a token began.

    Attributes:
        token: the token.
        owner: name of the recorder that got it.
        at: its positions then; a kind is missing while nothing of it was known.
    """

    token: int
    owner: str
    at: dict[str, str]


class Claim(NamedTuple):
    """What a recorder's own log holds of a source.

    Attributes:
        token: the last token under which it was read; 0 if there is none.
        noted: up to where that was noted.
        begins: before the first entry that was read, of streams of which nothing was known.
        end: up to where the log goes, of kinds that go beyond that.
    """

    token: int
    noted: Positions
    begins: Positions
    end: Positions


class Granted(NamedTuple):
    """The right to record a source.

    Attributes:
        token: fencing token.
        starts: of the last tokens, oldest first; this one is the last.
        positions: where to go on.
    """

    token: int
    starts: Sequence[Start]
    positions: Positions


def acquire_command(key: str, recorder: str, ttl_ms: int, claim: Claim) -> Command:
    """Ask for the source whose hash is at ``key``."""
    numbers = (len(claim.noted), len(claim.begins))
    positions = (*_flat(claim.noted), *_flat(claim.begins), *_flat(claim.end))
    return ACQUIRE.command([key], [recorder, ttl_ms, claim.token, *numbers, *positions])


def parse_granted(reply: Sequence[Any]) -> Granted | str:
    """Decode the reply to :func:`acquire_command`: the grant, or the recorder that has the lease."""
    if reply[0] == b"held":
        return str(reply[1].decode())
    _, token, starts, *flat = reply
    return Granted(int(token), parse_starts(starts), _positions(flat))


def note_command(key: str, token: int, ttl_ms: int, begins: Positions, positions: Positions) -> Command:
    """Note ``positions``, and renew the lease.

    Args:
        key: of the hash.
        token: under which they were read.
        ttl_ms: how long the lease goes on.
        begins: before the first entry that was read, of streams of which nothing was known.
        positions: up to which the log holds all for good.
    """
    return NOTE.command([key], [token, ttl_ms, len(begins), *_flat(begins), *_flat(positions)])


def parse_noted(reply: Sequence[Any]) -> Sequence[Start] | None:
    """Decode the reply to :func:`note_command`: ``None`` if it was accepted, or else where the later tokens began."""
    return None if reply[0] == 1 else parse_starts(reply[1])


def release_command(key: str, token: int) -> Command:
    """Give a source back."""
    return RELEASE.command([key], [token])


def starts_command(key: str) -> Command:
    """Ask where the last tokens began. Its reply is for :func:`parse_starts`."""
    return ("HGET", key, "starts")


def parse_starts(text: bytes | None) -> Sequence[Start]:
    """Decode the field ``starts``; nothing if Redis does not have it.

    Raises:
        ValueError: it is not what ``lua/acquire.lua`` writes.
    """
    return msgspec.json.decode(text or b"[]", type=list[Start], strict=False)


def next_positions(starts: Sequence[Start], token: int, kinds: Sequence[str]) -> Positions | None:
    """Up to where the entries read under ``token`` belong to it.

    Args:
        starts: of the last tokens, oldest first.
        token: which is not the last any more.
        kinds: of the streams in question.

    Returns:
        The positions at which the next recorder began, of polled values too; ``None`` while that is not known.
    """
    if starts and all(start.token != token for start in starts):
        return {}  # Redis has lost it, or many have come since: nobody knows what the next one has read
    later = [start for start in starts if start.token > token]
    if not later:
        return None
    known = [next((start.at[kind] for start in later if kind in start.at), None) for kind in kinds]
    return None if None in known else {**later[0].at, **{k: at for k, at in zip(kinds, known, strict=True) if at}}


def _flat(positions: Positions) -> list[Argument]:
    return [text for pair in positions.items() for text in pair]


def _positions(flat: Sequence[bytes]) -> dict[str, str]:
    return {kind.decode(): at.decode() for kind, at in zip(flat[::2], flat[1::2], strict=True)}
