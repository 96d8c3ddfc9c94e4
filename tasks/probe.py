"""How a node that was stuck shows that it works again."""

from __future__ import annotations

from tasks.celery_app import app
from tasks.lifecycle import this_node


@app.task(name="tasks.probe", ignore_result=True, send_events=False, max_retries=0)  # type: ignore[untyped-decorator]
def probe(probe_id: str) -> None:
    """Tell with the next heartbeat, which comes at once, that this message was taken.

    Args:
        probe_id: what the leading beat knows the message by.
    """
    this_node().answer(str(probe_id))
