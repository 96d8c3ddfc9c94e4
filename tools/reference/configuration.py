"""Writes docs/configuration.md from the settings themselves: `python -m tools.reference.configuration`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from tickfence.settings import BadSetting, Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_HEAD = """\
# Configuration

Every process reads its settings from the environment, once, at its start. All variables are optional. A value that is not accepted ends the process with status 2 and one line that names the variable, the value and what is accepted; an `NT_*` variable that no setting reads is warned about.

Some depend on others: `NT_HEARTBEAT_TTL_MS` is at least two heartbeats, `NT_LEASE_TTL_MS` at least two report periods, `NT_SLOW_PERIOD_MS` at least one.

Written from `settings.py` by `python -m tools.reference.configuration`.

| variable | default | accepted | what it is |
| --- | --- | --- | --- |
"""

_OTHERS = """
## Not of the processes

What is around them reads these:

| variable | default | read by | what it is |
| --- | --- | --- | --- |
| `FLOWER_BASIC_AUTH` | | Flower | `name:password`, several with commas, that Flower asks for |
| `FLOWER_ADDRESS` | `127.0.0.1` | Flower | Address it listens on |
| `FLOWER_MAX_TASKS` | `10000` | Flower | Tasks it keeps in memory |
| `FLOWER_PURGE_OFFLINE_WORKERS` | `3600` | Flower | Seconds after which a node that is away is not shown any more |
| `FLOWER_TASKS_COLUMNS` | `name,args,worker,state,runtime,received,uuid` | Flower | What its list of tasks shows |
| `EXTRA_NODES` | `0` | Compose | Further nodes: [deployment](deployment.md#more-nodes) |
| `WEB_PORT`, `FLOWER_PORT`, `PROMETHEUS_PORT`, `GRAFANA_PORT` | `8000`, `5555`, `9090`, `3000` | Compose | Ports on 127.0.0.1. `FLOWER_PORT` is Flower's own, too |
| `PYTHON` | | `make` | The Python that makes `.venv`. Default: the first of a suitable version |
| `UV_OPTIONS` | | `make lock` | Further options of uv, which works out the versions |

Flower takes each option of its own as `FLOWER_<OPTION>`.
"""


def page() -> str:
    """The page's text."""
    schemas = Settings.model_json_schema()["properties"]
    rows = [
        f"| `{name.upper()}` | {_default(field)} | {_accepted(name, schemas[name])} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "".join(rows) + _OTHERS


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
