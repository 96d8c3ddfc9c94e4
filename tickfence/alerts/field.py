"""Which values of a report a rule looks at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PART = re.compile(r"(\w+)(?:\[(\w+)=([^\]]+)\])?")
_PATH = re.compile(rf"{_PART.pattern}(?:\.{_PART.pattern})*")


class Field:
    """The path of a field in a report: names joined by dots. A list stands for all its entries, or for some of them.

    Args:
        path: like `spread_bps`, `extensions.pressure.bid_share` or `liquidity.walls[side=bid].qty`.

    Raises:
        ValueError: it is no path.

    Example:
        >>> walls = Field("liquidity.walls[side=bid].qty")
        >>> walls.values({"liquidity": {"walls": [{"side": "bid", "qty": 7.0}, {"side": "ask", "qty": 9.0}]}})
        [7.0]
        >>> walls.values({"liquidity": {"walls": []}}), walls.values({"liquidity": {}})
        ([], None)
        >>> Field("levels[told=true].qty").values({"levels": [{"told": True, "qty": 1.0}, {"told": False, "qty": 2.0}]})
        [1.0]
    """

    def __init__(self, path: str) -> None:
        if not _PATH.fullmatch(path):
            raise ValueError("must be names joined by dots, like spread_bps or liquidity.walls[side=bid].qty")
        self._parts = [found.groups() for found in _PART.finditer(path)]

    def values(self, report: Mapping[str, Any]) -> list[Any] | None:
        """Its values, any number of them behind a list; None where the report does not tell."""
        found: list[Any] = [report]
        listed = False
        for name, key, wanted in self._parts:
            below: list[Any] = []
            for node in found:
                value = node.get(name) if isinstance(node, Mapping) else None
                if isinstance(value, list):
                    listed = True
                    below += [
                        one
                        for one in value
                        if key is None or (isinstance(one, Mapping) and _text(one.get(key)) == wanted)
                    ]
                elif value is not None:
                    below.append(value)
                elif not listed:
                    return None
            found = below
        return found


def _text(value: Any) -> str:
    """A value as the report's JSON has it, without quotation marks: true, 12.5, bid."""
    return value if isinstance(value, str) else json.dumps(value)
