"""A task that a test includes in a worker: it never comes back."""

from __future__ import annotations

import threading

from tasks.celery_app import app


@app.task(name="tests.hang")  # type: ignore[untyped-decorator]
def hang() -> None:
    """Wait for what never happens, as a calculator that loops does."""
    threading.Event().wait()
