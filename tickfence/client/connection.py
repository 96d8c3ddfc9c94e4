"""What both clients hand to their HTTP library, and what they make of its errors."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import httpx2

from tickfence.client.errors import BadAnswer, ClientError, Unreachable, refusal
from tickfence.client.exchange import Answer
from tickfence.client.following import SILENCE_S

TIMEOUT_S = 10.0


def options(url: str, token: str | None, timeout_s: float) -> dict[str, Any]:
    """Return the arguments of an HTTP client."""
    headers = {"User-Agent": f"tickfence/{version('tickfence')}", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return {"base_url": url, "headers": headers, "timeout": timeout_s}


def stream_timeout(timeout_s: float) -> httpx2.Timeout:
    """Return the time-outs of a stream, on which the server is silent while nothing happens."""
    return httpx2.Timeout(timeout_s, read=SILENCE_S)


def answer(response: httpx2.Response, sent_at: float, came_at: float) -> Answer:
    """Return a response whose body has been read."""
    return Answer(response.status_code, dict(response.headers), response.content, sent_at, came_at)


def stream_refusal(response: httpx2.Response) -> ClientError:
    """Return why a stream did not open, from a response whose body has been read."""
    return refusal(response.status_code, response.content, response.headers.get("retry-after"))


def failed(error: httpx2.HTTPError | httpx2.InvalidURL) -> ClientError:
    """Return the error of this package for one of the HTTP library."""
    text = str(error) or type(error).__name__
    if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.UnsupportedProtocol | httpx2.SSEError):
        kind = "no answer in time" if isinstance(error, httpx2.TimeoutException) else "no connection"
        return Unreachable(f"{kind}: {text}")
    return BadAnswer(text)
