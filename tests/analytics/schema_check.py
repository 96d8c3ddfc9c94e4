"""Just enough of JSON Schema 2020-12 to hold a report against its own; an unknown keyword is an error."""

import re
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
SILENT = {"$schema", "$defs", "title", "description", "discriminator"}


def errors(value: Any, schema: dict, root: dict, path: str = "report") -> list[str]:
    """What is wrong with the value, each with its path."""
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword in SILENT:
            continue
        if keyword == "$ref":
            found += errors(value, root["$defs"][rule.rpartition("/")[2]], root, path)
        elif keyword == "anyOf":
            if all(errors(value, option, root, path) for option in rule):
                found.append(f"{path} is none of the {len(rule)} options")
        elif keyword == "properties":
            for name in rule.keys() & value.keys():
                found += errors(value[name], rule[name], root, f"{path}.{name}")
        elif keyword == "items":
            for index, item in enumerate(value):
                found += errors(item, rule, root, f"{path}[{index}]")
        elif not HOLDS[keyword](value, rule):
            found.append(f"{path} breaks {keyword} {rule}: {value!r}")
    return found


HOLDS = {
    "type": lambda value, rule: isinstance(value, TYPES[rule]) and not isinstance(value, bool),
    "enum": lambda value, rule: value in rule,
    "required": lambda value, rule: set(rule) <= value.keys(),
    "minimum": lambda value, rule: value >= rule,
    "maximum": lambda value, rule: value <= rule,
    "exclusiveMinimum": lambda value, rule: value > rule,
    "maxItems": lambda value, rule: len(value) <= rule,
    "pattern": lambda value, rule: re.search(rule, value) is not None,
}
