"""Sections of other packages: `pip install` one, and every report has its section at `extensions.<name>`.

A package names its sections in the entry-point group "tickfence.sections". docs/extensions.md is the tutorial.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from tickfence.analytics.slow_cycle import encode_json

GROUP = "tickfence.sections"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
MAX_BYTES = 65_536
_MEMBER = b',"extensions":'


class BadSection(Exception):
    """An installed section that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report that another package computes.

    Args:
        find: the calculator. It takes the symbol's :class:`~tickfence.analytics.market.SlowMarket`, or its
            :class:`~tickfence.analytics.market.Market` if the section is fast, and must not change it. Its annotated
            return type is the section's :class:`msgspec.Struct`; it returns `UNSET` without enough data.
        fast: compute it for every report, and not only in the slow cycle.

    Example:
        >>> class Touch(Struct, frozen=True):
        ...     price: float
        >>> def touch(market: Any) -> Touch | UnsetType:
        ...     return Touch(market.bid_prices[0]) if market.bid_prices else UNSET
        >>> section = Section(touch)
    """

    find: Callable[[Any], Struct | UnsetType]
    fast: bool = False

    def shape(self) -> type[Struct]:
        """The type that `find` says it returns.

        Raises:
            BadSection: it names no Struct that is an object in JSON.
        """
        found = get_type_hints(self.find).get("return")
        kinds = [kind for kind in get_args(found) or (found,) if kind is not UnsetType]
        if len(kinds) != 1 or not (isinstance(kinds[0], type) and issubclass(kinds[0], Struct)):
            raise BadSection("its find() must be annotated to return one msgspec Struct, or UNSET")
        if kinds[0].__struct_config__.array_like:
            raise BadSection("its Struct must be a JSON object, and not array_like")
        return kinds[0]


class Installed:
    """A section under the name that its package gives it.

    Args:
        name: its member of `extensions`.
        section: what computes it.

    Raises:
        BadSection: name or type cannot be used.
    """

    def __init__(self, name: str, section: Section) -> None:
        if not NAME.fullmatch(name):
            raise BadSection(f"its name must match {NAME.pattern}")
        self.name, self.fast = name, section.fast
        self._find = section.find
        self._check = msgspec.json.Decoder(section.shape()).decode

    def compute(self, market: Any) -> Raw | None:
        """The section as JSON; None without enough data. An exception of the package goes through.

        Raises:
            msgspec.ValidationError: what it found is not of its own type: NaN or infinity, say, which JSON cannot tell.
            ValueError: it is larger than MAX_BYTES.
            RuntimeError: it called `sys.exit`, which would end the node.
        """
        try:
            found = self._find(market)
        except SystemExit as error:
            raise RuntimeError(f"it called sys.exit({error.code!r})") from error
        if found is UNSET:
            return None
        data = _encode_found(found)
        if len(data) > MAX_BYTES:
            raise ValueError(f"it has {len(data):,} bytes; the maximum is {MAX_BYTES:,}")
        self._check(data)
        return Raw(data)


class Found(NamedTuple):
    """What is installed: sections by name, and why others cannot be used."""

    sections: tuple[Installed, ...]
    bad: Mapping[str, str]


@cache
def installed() -> Found:
    """The sections of all installed packages, in the order of their names. A broken one does not hide the others."""
    sections: dict[str, Installed] = {}
    bad: dict[str, str] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            if point.name in sections or point.name in bad:
                raise BadSection("two packages give a section this name")
            sections[point.name] = _load(point)
        except BadSection as error:
            sections.pop(point.name, None)
            bad[point.name] = f"{point.value}: {error}"
    return Found(tuple(sections.values()), bad)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"JSON has no {type(value).__name__}")


_encode_found = msgspec.json.Encoder(enc_hook=_plain).encode


def _load(point: EntryPoint) -> Installed:
    try:
        section = point.load()
        if isinstance(section, Section):
            return Installed(point.name, section)
    except BadSection:
        raise
    except Exception as error:  # a module of others, and its annotations, may raise whatever they like
        raise BadSection(f"{type(error).__name__}: {error}") from error
    raise BadSection(f"it must be a {Section.__module__}.Section; it is a {type(section).__name__}")


def extended(document: bytes, sections: Mapping[str, Raw]) -> bytes:
    """A report, or slow sections, with the member `extensions` at the end; the same bytes without any section."""
    if not sections:
        return document
    return b"%b%b%b}" % (document[:-1], _MEMBER, encode_json(sections))


def without_extensions(document: bytes) -> bytes:
    """What :func:`extended` was given."""
    core, member, _ = document.partition(_MEMBER)  # no text in JSON has a quotation mark that is not escaped
    return core + b"}" if member else document
