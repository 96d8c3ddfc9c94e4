"""Just enough of JSON Schema 2020-12 to hold a report against its own; an unknown keyword is an error."""

import re
from typing import Any

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
SILENT = {"$schema", "$defs", "title", "description", "discriminator", "default"}


def errors(value: Any, schema: dict, root: dict, path: str = "report") -> list[str]:
    """What is wrong with the value, each with its path."""
    if "type" in schema and not HOLDS["type"](value, schema["type"]):
        return [f"{path} breaks type {schema['type']}: {value!r}"]
    found: list[str] = []
    for keyword, rule in schema.items():
        if keyword in SILENT:
            continue
        if keyword == "$ref":
            found += errors(value, _at(root, rule), root, path)
        elif keyword == "anyOf":
            if all(errors(value, option, root, path) for option in rule):
                found.append(f"{path} is none of the {len(rule)} options")
        elif keyword == "properties":
            for name in rule.keys() & value.keys():
                found += errors(value[name], rule[name], root, f"{path}.{name}")
        elif keyword == "items" and rule is not False:
            for index, item in enumerate(value):
                found += errors(item, rule, root, f"{path}[{index}]")
        elif keyword == "prefixItems":
            for index, (item, one) in enumerate(zip(value, rule, strict=False)):
                found += errors(item, one, root, f"{path}[{index}]")
        elif keyword == "additionalProperties":
            for name in value.keys() - schema.get("properties", {}).keys():
                found += errors(value[name], rule, root, f"{path}.{name}")
        elif not HOLDS[keyword](value, rule):
            found.append(f"{path} breaks {keyword} {rule}: {value!r}")
    return found


def _at(root: dict, reference: str) -> dict:
    for name in reference.removeprefix("#/").split("/"):
        root = root[name]
    return root


HOLDS = {
    "type": lambda value, rule: isinstance(value, TYPES[rule]) and isinstance(value, bool) == (rule == "boolean"),
    "enum": lambda value, rule: value in rule,
    "required": lambda value, rule: set(rule) <= value.keys(),
    "minimum": lambda value, rule: value >= rule,
    "maximum": lambda value, rule: value <= rule,
    "exclusiveMinimum": lambda value, rule: value > rule,
    "items": lambda _value, _rule: True,  # none but those of prefixItems, which maxItems says, too
    "minItems": lambda value, rule: len(value) >= rule,
    "maxItems": lambda value, rule: len(value) <= rule,
    "pattern": lambda value, rule: re.search(rule, value) is not None,
}
