"""The JSON Schema of a report, generated from its typed model.

python -m tickfence.analytics.schema > docs/report.schema.json
"""

import json
import sys
from typing import Any

import msgspec

from tickfence.analytics.report import Report


def report_schema() -> dict[str, Any]:
    """The schema as a dict (JSON Schema 2020-12); fields that may be left out are not `required`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Report)}


def main() -> None:
    """Prints the schema to standard output."""
    sys.stdout.write(json.dumps(report_schema(), indent=2) + "\n")


if __name__ == "__main__":
    main()
