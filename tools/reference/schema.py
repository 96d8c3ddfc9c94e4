"""docs/report.schema.json: the JSON Schema of a report, from its typed model."""

import json
from pathlib import Path
from typing import Any

import msgspec

from tickfence.analytics.report import Report

PAGE = Path(__file__).parents[2] / "docs" / "report.schema.json"


def report_schema() -> dict[str, Any]:
    """The schema as a dict (JSON Schema 2020-12); fields that may be left out are not `required`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Report)}


def page() -> str:
    """The page's text."""
    return json.dumps(report_schema(), indent=2) + "\n"
