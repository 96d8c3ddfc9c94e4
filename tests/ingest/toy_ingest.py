"""``python -m ingest`` with the toy exchange of `more_venues`, whose updates have no numbers."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path

from ingest import venues

if __name__ == "__main__":
    venues.__path__.append(str(Path(__file__).with_name("more_venues")))
    importlib.import_module("ingest.venues.toy").Toy.numbered = False
    runpy.run_module("ingest", run_name="__main__", alter_sys=True)
