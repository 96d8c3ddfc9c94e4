"""Messages that no dispatcher sends."""

from __future__ import annotations

import base64
import json
from typing import Any

TASK = "tasks.fast_cycle"


def message(body: object = ((), {}, None), *, encoded: str | None = None, **changed: Any) -> str:
    """A message as kombu keeps it in a list of Redis, with other values for some of its fields."""
    text = base64.b64encode(json.dumps(body).encode()).decode() if encoded is None else encoded
    fields: dict[str, Any] = {
        "body": text,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": TASK, "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "correlation_id": "1",
            "delivery_mode": 1,
            "delivery_info": {"exchange": "", "routing_key": "node-x"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "1",
        },
    }
    return json.dumps(fields | changed)


HEADERS: dict[str, Any] = json.loads(message())["headers"]
PROPERTIES: dict[str, Any] = json.loads(message())["properties"]

IN_REDIS: dict[str, str | bytes] = {
    "not JSON": "{",
    "empty": "",
    "not UTF-8": b"\xff\xfe",
    "too deep": "[" * 100_000,
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "an object": "{}",
    "no number": '{"__type__": "decimal", "__value__": "x"}',
    "no properties": message(properties=None),
    "no delivery tag": message(properties={}),
    "properties are a list": message(properties=[1]),
    "a tag is a list": message(properties=PROPERTIES | {"delivery_tag": [1]}),
    "a place is a text": message(properties=PROPERTIES | {"delivery_info": "x"}),
    "bad base64": message(encoded="a"),
    "a body is a number": message(body=1) .replace('"body": "', '"body": 1, "was": "'),
    "a body is null": message(body=1).replace('"body": "', '"body": null, "was": "'),
    "an encoding that is none": message(properties=PROPERTIES | {"body_encoding": "rot13"}),
    "a charset that is none": message(**{"content-encoding": "klingon"}),
    "a compression that is none": message(headers=HEADERS | {"compression": "x"}),
    "no headers": message(headers=None),
    "headers are a list": message(headers=[1]),
    "a task is a list": message(headers=HEADERS | {"task": [1]}),
    "no id": message(headers={"task": TASK}),
    "an id is a list": message(headers=HEADERS | {"id": [1]}),
    "an unknown task": message(headers=HEADERS | {"task": "no.such"}),
    "no arguments": message(body=[]),
    "arguments are numbers": message(body=[1, 2, 3]),
    "too few arguments": message(body=[[], {}, None]),
    "an owner is a number": message(body=[[["BTCUSDT"], [1, 2, 3, 4]], {}, None]),
    "a time is a text": message(body=[[["BTCUSDT"], ["node-x/1", "a", None, "b"]], {}, None]),
    "symbols are a number": message(body=[[1, ["x/y", 1, 1, 1]], {}, None]),
    "expires at no time": message(headers=HEADERS | {"expires": [1]}),
    "an eta that is none": message(headers=HEADERS | {"eta": "soon"}),
    "a time limit that is none": message(headers=HEADERS | {"timelimit": 5}),
    "retries are a text": message(headers=HEADERS | {"retries": "x"}),
    "a chain that is none": message(body=[[], {}, {"chain": 1, "callbacks": 1, "errbacks": 1}]),
}  # fmt: skip
"""What lies in the list -> its name in a test."""
