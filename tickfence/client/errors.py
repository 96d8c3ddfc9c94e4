"""Why a call has no result. Every error of the client is a `ClientError`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec


class ClientError(Exception):
    """The call has no result; the text says why.

    Attributes:
        retryable: Whether the same call may succeed later.
        retry_after_s: How long the server asks you to wait; ``None`` if it does not say.
    """

    retryable = False
    retry_after_s: float | None = None


class Unreachable(ClientError):
    """No answer: no connection, a time-out, or the connection broke."""

    retryable = True


class BadAnswer(ClientError):
    """The answer cannot be read: the server has another version, stores a damaged report, or is not tickfence."""


class BadRequest(ClientError):
    """A parameter has a value that the server does not accept."""


class Unauthorized(ClientError):
    """The token is missing or wrong."""


class Refused(ClientError):
    """The server does not accept this address, host name or origin."""


class UnknownSymbol(ClientError):
    """There is no such symbol.

    Attributes:
        nearest: Some symbols that there are, the nearest first.
    """

    def __init__(self, text: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.nearest = tuple(nearest)


class TooManyRequests(ClientError):
    """You ask more often than the server allows."""

    retryable = True


class Unavailable(ClientError):
    """The server cannot answer now: Redis is away, or the server is busy, or away behind its proxy."""

    retryable = True


class NoReport(ClientError):
    """The symbol is known, and has no report now."""

    retryable = True


class StaleReport(ClientError):
    """The report is too old to act on.

    Attributes:
        symbol: Whose report it is.
        age_ms: How old its market data is at most, ms; ``None`` if that is not known.
        max_age_ms: The limit, ms.
        reason: What the server says about it, if it calls the report stale.
    """

    retryable = True

    def __init__(self, symbol: str, age_ms: int | None, max_age_ms: int, reason: str | None) -> None:
        age = "of unknown age" if age_ms is None else f"{age_ms:,} ms old"
        why = f": {reason}" if reason else ""
        super().__init__(f"{symbol}: the market data is {age}, and the limit is {max_age_ms:,} ms{why}")
        self.symbol, self.age_ms, self.max_age_ms, self.reason = symbol, age_ms, max_age_ms, reason


class _Problem(msgspec.Struct):
    """The part of a problem (RFC 9457) that the client uses."""

    code: str = ""
    title: str = ""
    detail: str = ""
    accepted: list[str] = []

    @property
    def kind(self) -> str:
        """The kind of problem; servers before version 0.3 name it by the title alone."""
        return self.code or self.title.lower().replace(" ", "_")


_KINDS: Mapping[int, type[ClientError]] = {
    401: Unauthorized,
    403: Refused,
    414: BadRequest,
    421: Refused,
    422: BadRequest,
    429: TooManyRequests,
    502: Unavailable,  # of a proxy, unless the server says that it is a bad report
    503: Unavailable,
    504: Unavailable,
}
_UNKNOWN, _NO_REPORT, _BAD_REPORT = "unknown_symbol", "no_report", "bad_report"


def refusal(status: int, body: bytes, retry_after: str | None) -> ClientError:
    """Return the error that an answer stands for.

    Args:
        status: Its HTTP status, 400 or higher.
        body: Its body.
        retry_after: Its header ``Retry-After``, if it has one: seconds. A date is ignored.
    """
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:  # a proxy's page, for example
        problem = _Problem()
    try:
        name = HTTPStatus(status).phrase
    except ValueError:
        name = "unknown status"
    text = problem.detail or f"the server answered {status} {name}"
    error: ClientError
    if status == HTTPStatus.NOT_FOUND and problem.kind == _UNKNOWN:
        error = UnknownSymbol(text, problem.accepted)
    elif status == HTTPStatus.SERVICE_UNAVAILABLE and problem.kind == _NO_REPORT:
        error = NoReport(text)
    elif problem.kind == _BAD_REPORT:
        error = BadAnswer(text)
    else:
        error = _KINDS.get(status, BadAnswer)(text)
    if retry_after and retry_after.isdecimal():
        error.retry_after_s = float(retry_after)
    return error
