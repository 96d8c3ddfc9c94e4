"""Writes docs/configuration.md from the settings themselves: `python -m docs.configuration`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from settings import BadSetting, Settings

PAGE = Path(__file__).with_suffix(".md")

_HEAD = """\
# Configuration

Every process reads its settings from the environment, once, at its start. All variables are optional. A value that is not accepted ends the process with status 2 and one line that names the variable, the value and what is accepted; an `NT_*` variable that no setting reads is warned about.

Some depend on others: `NT_HEARTBEAT_TTL_MS` is at least two heartbeats, `NT_LEASE_TTL_MS` at least two report periods, `NT_SLOW_PERIOD_MS` at least one.

Written from `settings.py` by `python -m docs.configuration`.

| variable | default | accepted | what it is |
| --- | --- | --- | --- |
"""


def page() -> str:
    """The page's text."""
    schemas = Settings.model_json_schema()["properties"]
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {_accepted(name, schemas[name])} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "".join(rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def _accepted(name: str, schema: dict[str, Any]) -> str:
    numeric = next((s for s in schema.get("anyOf", [schema]) if s.get("type") in ("integer", "number")), None)
    if numeric is not None:
        kind = "whole number" if numeric["type"] == "integer" else "number"
        if "exclusiveMinimum" in numeric:
            return f"{kind} above {numeric['exclusiveMinimum']:g}, up to {numeric['maximum']:,g}"
        return f"{kind} from {numeric['minimum']:,} to {numeric['maximum']:,}"
    if "enum" in schema:
        return ", ".join(schema["enum"])
    try:
        Settings.from_environment({name.upper(): "?"})
    except BadSetting as error:
        # The words a user would be shown.
        return str(error).split(": ", 1)[1].removeprefix("must be ").replace("symbol '?' must", "symbols must")
    return "text"


if __name__ == "__main__":
    PAGE.write_text(page())
