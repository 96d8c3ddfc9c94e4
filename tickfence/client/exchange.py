"""Requests and answers as data, so that one core serves both clients. No I/O.

A call is an `Exchange`: a generator that yields requests, takes their answers, and returns its result. A shell sends each
request with whatever HTTP library it likes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from tickfence.client.errors import refusal

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request.

    Attributes:
        target: Path and query, percent-encoded.
        headers: Headers beside those of the connection.
    """

    target: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status.
        headers: By name in lower case.
        body: The body, decompressed.
        sent_at: When the request was sent, monotonic seconds.
        came_at: When the whole answer was there, monotonic seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at: float
    came_at: float


Exchange: TypeAlias = Generator[Request, Answer, T]


def target(*segments: str, **query: str | int | None) -> str:
    """Return the path and query of an address; parameters that are ``None`` are left out.

    Example:
        >>> target("reports", "kraken:BTC/USD", "history", since="-15m", step=None)
        '/v1/reports/kraken:BTC%2FUSD/history?since=-15m'
    """
    path = "/".join(quote(segment, safe=":") for segment in ("v1", *segments))
    given = {name: value for name, value in query.items() if value is not None}
    return f"/{path}" + (f"?{urlencode(given, safe=':,')}" if given else "")


class Known:
    """The last answers that had an ``ETag``: the server sends the same data only once.

    Args:
        most_bytes: How many bytes of them are kept; the answer that was not used for the longest time goes first.
    """

    def __init__(self, most_bytes: int = 16 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._lock = Lock()

    def fetch(self, target: str) -> Generator[Request, Answer, tuple[Answer, Answer]]:
        """Ask for ``target``.

        Returns:
            The answer with the data, and the answer to this request. They differ if the server says that nothing changed.

        Raises:
            ClientError: The server refuses.
        """
        known = self._answers.get(target)
        headers = {"If-None-Match": known.headers["etag"]} if known else {}
        answer = yield Request(target, headers)
        if answer.status == HTTPStatus.NOT_MODIFIED and known:
            self._keep(target, known)
            return known, answer
        if answer.status != HTTPStatus.OK:
            raise refusal(answer.status, answer.body, answer.headers.get("retry-after"))
        self._keep(target, answer if "etag" in answer.headers else None)
        return answer, answer

    def _keep(self, target: str, answer: Answer | None) -> None:
        with self._lock:
            if before := self._answers.pop(target, None):
                self._bytes -= len(before.body)
            if answer:
                self._answers[target] = answer
                self._bytes += len(answer.body)
            while self._bytes > self._most_bytes:
                _, oldest = self._answers.popitem(last=False)
                self._bytes -= len(oldest.body)
