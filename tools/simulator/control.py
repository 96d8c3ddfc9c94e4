"""Control messages on a WebSocket and their answers: subscriptions and properties.

Source: Binance, "WebSocket Streams", live subscribing and error messages.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

STREAM_NAME = re.compile(r"[a-z0-9_.-]{1,30}@[A-Za-z0-9_@]{1,30}|![A-Za-z0-9_@]{1,30}")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


class ControlError(ValueError):
    """A refused control message: the error code, its text, and the request's id."""

    def __init__(self, code: int, text: str, request_id: object = None) -> None:
        super().__init__(text)
        self.code = code
        self.request_id = request_id

    def reply(self) -> bytes:
        """The answer that the exchange sends."""
        return msgspec.json.encode({"error": {"code": self.code, "msg": str(self)}, "id": self.request_id})


class Control(msgspec.Struct):
    """A valid control message."""

    method: str
    params: list[Any]
    request_id: int | str | None


def parse(text: str | bytes) -> Control:
    """The control message in a text.

    Raises:
        ControlError: the text is not a valid SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY or GET_PROPERTY.
    """
    try:
        message = json.loads(text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise ControlError(3, f"Invalid JSON: expected value at line {line} column {column}") from None
    if not isinstance(message, dict):
        raise ControlError(2, "Invalid request: expected an object")
    request_id = message.get("id")
    if not _acceptable_id(request_id):
        raise ControlError(2, "Invalid request: request ID must be an unsigned integer")
    method = message.get("method")
    if method is None:
        raise ControlError(2, "Invalid request: missing field `method`", request_id)
    if method not in _METHODS:
        raise ControlError(
            2,
            f"Invalid request: unknown variant `{method}`, expected one of {', '.join(f'`{m}`' for m in _METHODS)}",
            request_id,
        )
    params = message.get("params", [])
    if not isinstance(params, list):
        raise ControlError(2, "Invalid request: params must be an array", request_id)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        for stream in params:
            if not isinstance(stream, str) or not STREAM_NAME.fullmatch(stream):
                raise ControlError(2, "Invalid request: invalid stream", request_id)
    elif method != "LIST_SUBSCRIPTIONS":
        _check_property(method, params, request_id)
    return Control(method, params, request_id)


def reply(request_id: object, result: object = None) -> bytes:
    """The answer to an accepted control message."""
    return msgspec.json.encode({"result": result, "id": request_id})


def _acceptable_id(request_id: object) -> bool:
    if isinstance(request_id, bool):
        return False
    if isinstance(request_id, int):
        return -(2**63) <= request_id < 2**63
    return request_id is None or (isinstance(request_id, str) and len(request_id) <= 36)


def _check_property(method: str, params: list[Any], request_id: object) -> None:
    if not params or not isinstance(params[0], str):
        raise ControlError(2, "Invalid request: property name must be a string", request_id)
    if len(params) > (2 if method == "SET_PROPERTY" else 1):
        raise ControlError(2, "Invalid request: too many parameters", request_id)
    if params[0] != "combined":
        raise ControlError(0, "Unknown property", request_id)
    if method == "SET_PROPERTY" and (len(params) < 2 or not isinstance(params[1], bool)):
        raise ControlError(1, "Invalid value type: expected Boolean", request_id)
