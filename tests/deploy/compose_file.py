"""docker-compose.yml as Compose reads it: anchors merged, variables put in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$\$|\$\{(\w+):-([^}]*)\}")


def compose_file(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole file, with what ``${NAME:-default}`` stands for in ``environment``."""
    given = environment or {}

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else given.get(found[1]) or found[2]

    def filled(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: filled(below) for name, below in part.items()}
        if isinstance(part, list):
            return [filled(below) for below in part]
        return _VARIABLE.sub(value, part) if isinstance(part, str) else part

    whole: dict[str, Any] = filled(yaml.safe_load(COMPOSE_FILE.read_text()))
    return whole


def services(environment: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Name -> service."""
    found: dict[str, dict[str, Any]] = compose_file(environment)["services"]
    return found


def is_one_off(service: Mapping[str, Any]) -> bool:
    """Whether it runs one command and ends."""
    return bool(service["restart"] == "no")


def is_optional(service: Mapping[str, Any]) -> bool:
    """Whether ``docker compose up`` leaves it out until it is asked for."""
    return "profiles" in service


def command(service: Mapping[str, Any]) -> list[str]:
    """A service's command as a list of words; empty where it has none."""
    given = service.get("command", [])
    return shlex.split(given) if isinstance(given, str) else list(given)
