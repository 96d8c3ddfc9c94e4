"""docs/configuration.md: every setting, from its definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from tickfence.settings import BadSetting, Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

_HEAD = """\
# Configuration

Each process reads its settings from the environment once, when it starts. Every variable is optional. An invalid value stops the process with exit status 2 and one line that names the variable, the value and what is accepted. An unknown `NT_*` variable causes a warning.

Three settings depend on others: `NT_HEARTBEAT_TTL_MS` is at least two heartbeats, `NT_LEASE_TTL_MS` at least two report periods, `NT_SLOW_PERIOD_MS` at least one report period.

`make reference` writes this page from `tickfence/settings.py`.

| variable | default | accepted | what it is |
| --- | --- | --- | --- |
"""

_OTHERS = """
## Variables of other programs

The programs around the roles, and ingest's connections, read these:

| variable | default | read by | what it is |
| --- | --- | --- | --- |
| `FLOWER_BASIC_AUTH` | | Flower | Logins that Flower accepts: `name:password`, separated by commas |
| `FLOWER_ADDRESS` | `127.0.0.1` | Flower | Address that Flower listens on |
| `FLOWER_LOGGING` | that of `NT_LOG_LEVEL` | Flower | Minimum severity of Flower's log lines |
| `FLOWER_MAX_TASKS` | `10000` | Flower | Tasks that Flower keeps in memory |
| `FLOWER_LOGGING` | `NT_LOG_LEVEL` | Flower | Minimum severity of its log lines: `debug`, `info`, `warning`, `error` or `none` |
| `FLOWER_PURGE_OFFLINE_WORKERS` | `3600` | Flower | Seconds after which Flower hides a node that is offline |
| `FLOWER_TASKS_COLUMNS` | `name,args,worker,state,runtime,received,uuid` | Flower | Columns of Flower's list of tasks |
| `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | | ingest | Proxy between ingest and the exchange: [deployment](deployment.md#through-a-proxy) |
| `EXTRA_NODES` | `0` | Compose | Further nodes: [deployment](deployment.md#more-nodes) |
| `WEB_PORT`, `FLOWER_PORT`, `PROMETHEUS_PORT`, `ALERTMANAGER_PORT`, `GRAFANA_PORT` | `8000`, `5555`, `9090`, `9093`, `3000` | Compose | Ports on 127.0.0.1. Flower itself reads `FLOWER_PORT`, too |
| `PYTHON` | | `make` | The Python that creates `.venv`. Default: the first one with a suitable version |
| `UV_OPTIONS` | | `make lock` | Further options for uv, which resolves the versions |

Flower reads each of its other options from `FLOWER_<OPTION>`.
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
    if value in (None, "", (), {}):
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
        # The same words as in the message to the user.
        return str(error).split(": ", 1)[1].removeprefix("must be ").replace("symbol '?' must", "symbols must")
    return "text"
