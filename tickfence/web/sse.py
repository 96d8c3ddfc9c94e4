"""Server-sent events as bytes: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

from typing import Any

import msgspec

encode_json = msgspec.json.Encoder().encode


def frame(event: str, data: Any) -> bytes:
    """One event with ``data`` as JSON, which holds no line break."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), encode_json(data))
