"""docs/report-fields.md: every field of a report with its type, from the JSON Schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.reference.schema import report_schema

PAGE = Path(__file__).parents[2] / "docs" / "report-fields.md"

_HEAD = """\
# Fields of the report

Every field with its type and range. [The report](report.md) defines what each one means. A field is left out while its value is not known, unless it is always there. `[]` marks the members of a list. `make reference` writes this page from `tickfence/analytics/report.py`.

| field | type | there |
| --- | --- | --- |
"""
_Schema = dict[str, Any]
_LIMITS = (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"))


def page() -> str:
    """The page's text."""
    schema = report_schema()
    defs: dict[str, _Schema] = schema["$defs"]
    rows = _fields(defs["Report"], defs, "", "always")
    return _HEAD + "".join(f"| `{name}` | {kind} | {there} |\n" for name, kind, there in rows)


def _fields(struct: _Schema, defs: dict[str, _Schema], before: str, parent: str) -> Iterator[tuple[str, str, str]]:
    for name, schema in struct["properties"].items():
        full, inner = f"{before}{name}", schema
        there = parent
        if name not in struct.get("required", []):
            there = "if known" if parent == "always" else f"{parent}, if known"
        if schema.get("type") == "array":
            full, inner = f"{full}[]", schema["items"]
        refs = [option["$ref"] for option in inner.get("anyOf", [inner]) if "$ref" in option]
        if not refs:
            yield full, _kind(inner), there
        for ref in refs:
            found = defs[ref.rpartition("/")[2]]
            if len(refs) > 1:
                [kind] = found["properties"]["type"]["enum"]
                full = f"{before}{name}[{kind}]"
            yield from _fields(
                found, defs, f"{full}.", there if there == "always" and "[" not in full else f"with `{full}`"
            )


def _kind(schema: _Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "prefixItems" in schema:
        return "list of " + ", ".join(_kind(one) for one in schema["prefixItems"])
    limits = [f"{words} {schema[key]:g}" for key, words in _LIMITS if key in schema]
    json_type: str = schema.get("type", "any")
    kind = {"string": "text", "integer": "whole number"}.get(json_type, json_type)
    return ", ".join([kind, *limits])
