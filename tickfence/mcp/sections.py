"""The sections of a report that `get_report` can be asked for. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

from tickfence.analytics.liquidity import Liquidity

_LIQUIDITY: tuple[str, ...] = Liquidity.__struct_fields__
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "price": ("last_price", "change_24h_pct", "high_24h", "low_24h", "volume_24h"),
    "quote": ("best_bid", "best_ask", "spread_bps", "mid_price", "micro_price"),
    "depth": ("depth",),
    "flow": ("flow",),
    **dict.fromkeys(_LIQUIDITY, ("liquidity",)),
    "anomalies": ("anomalies",),
    "health": ("health",),
    "extensions": ("extensions",),
}

SECTIONS: tuple[str, ...] = tuple(_MEMBERS)
"""All of them, in the report's order."""

if TYPE_CHECKING:
    Section = str
else:
    Section = Literal[SECTIONS]
"""One of `SECTIONS`."""


def chosen(report: Mapping[str, Any], sections: Collection[str]) -> dict[str, Any]:
    """Return the members of ``sections``, and those that every answer has: whose report it is, how old, and by whom.

    Args:
        report: A report as a JSON object.
        sections: Some of `SECTIONS`.
    """
    unwanted = {member for section in _MEMBERS for member in _MEMBERS[section]}
    unwanted -= {member for section in sections for member in _MEMBERS[section]}
    found = {member: value for member, value in report.items() if member not in unwanted}
    if "liquidity" in found:
        found["liquidity"] = {name: value for name, value in found["liquidity"].items() if name in sections}
    return found


def partial_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a report of which any section may be left out.

    The pattern of a symbol's name is left out as well: it is long, and tells a client nothing.
    """
    optional = {member for members in _MEMBERS.values() for member in members}
    properties = {**schema["properties"], "symbol": {"type": "string"}}
    required = [member for member in schema["required"] if member not in optional]
    return {**schema, "properties": properties, "required": required}


def without(sections: Collection[str]) -> list[str]:
    """Return the other sections."""
    return [section for section in SECTIONS if section not in sections]
