"""The parts of the client without I/O: ages, answers that have not changed, and streams that break."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickfence.client import (
    BadAnswer,
    BadRequest,
    ClientError,
    Lost,
    NoReport,
    Refused,
    StaleReport,
    TooManyRequests,
    Unavailable,
    UnknownSymbol,
    Unreachable,
)
from tickfence.client.delay import Delay
from tickfence.client.errors import refusal
from tickfence.client.exchange import Answer, Known
from tickfence.client.following import LONGEST_WAIT_S, Following
from tickfence.client.queries import Queries
from tickfence.web.examples import AT, REPORT


def report(symbol: str = "AAUSDT", at_ms: int = AT, data_age_ms: int | None = 100, **freshness: Any) -> bytes:
    """A report that was written and read at ``at_ms``."""
    fresh = msgspec.structs.replace(REPORT.freshness, read_at=at_ms, data_age_ms=data_age_ms, **freshness)
    return msgspec.json.encode(msgspec.structs.replace(REPORT, symbol=symbol, updated_at=at_ms, freshness=fresh))


def told(following: Following, *events: tuple[str, bytes, float]) -> list[Any]:
    return [one for name, data, now in events for one in following.event(name, data.decode(), now)]


def test_the_age_counts_from_before_the_request_and_goes_on_while_nothing_changes() -> None:
    queries = Queries(max_age_s=2.0)

    def asked(status: int, sent_at: float, came_at: float, body: bytes = b"", **headers: str) -> Any:
        exchange = queries.report("AAUSDT")
        request = next(exchange)
        with pytest.raises(StopIteration) as end:
            exchange.send(Answer(status, headers, body, sent_at, came_at))
        return request, end.value.value.freshness

    request, fresh = asked(200, 10.0, 10.5, report(), etag='W/"1"')
    assert request.headers == {} and fresh.data_age_ms == 600
    request, fresh = asked(304, 11.0, 11.25)
    assert request.headers == {"If-None-Match": 'W/"1"'} and fresh.data_age_ms == 1_350
    with pytest.raises(StaleReport) as old:
        asked(304, 12.0, 12.5)
    assert (old.value.age_ms, old.value.max_age_ms) == (2_600, 2_000)
    with pytest.raises(StaleReport, match="the server calls the report stale now"):
        asked(304, 10.6, 10.7, **{"report-stale": "true"})
    with pytest.raises(StaleReport, match="of unknown age"):
        asked(200, 10.0, 10.0, report(data_age_ms=None))


@pytest.mark.parametrize(
    ("ask", "answer", "field"),
    [
        (lambda queries: queries.nodes(), {"nodes": [], "leader": None}, "now"),
        (lambda queries: queries.events(None, None, None, 10), {"events": []}, "now"),
        (lambda queries: queries.reports(None), {"reports": [], "missing": [], "unreadable": []}, "now_ms"),
    ],
)
def test_the_time_goes_on_while_nothing_changes(ask: Any, answer: dict[str, Any], field: str) -> None:
    queries = Queries(max_age_s=None)

    def now_ms(status: int, came_at: float, body: bytes = b"", **headers: str) -> Any:
        exchange = ask(queries)
        next(exchange)
        with pytest.raises(StopIteration) as end:
            exchange.send(Answer(status, headers, body, came_at - 0.5, came_at))
        return getattr(end.value.value, field)

    assert now_ms(200, 10.0, msgspec.json.encode({"now": AT, **answer}), etag='W/"1"') == AT
    assert now_ms(304, 12.0) == AT + 2_000


def test_a_history_has_rows() -> None:
    with pytest.raises(ValueError, match="max_rows=0: must be at least 1"):
        next(Queries(max_age_s=None).history("AAUSDT", "-1h", "now", None, (), 0))


def test_only_so_many_bytes_of_answers_are_kept() -> None:
    known = Known(most_bytes=10)

    def asked(target: str, size: int) -> bool:
        """Whether the client said that it has an answer."""
        exchange = known.fetch(target)
        request = next(exchange)
        with pytest.raises(StopIteration):
            exchange.send(Answer(200, {"etag": "1"}, b"x" * size, 0.0, 0.0))
        return "If-None-Match" in request.headers

    assert [asked("/a", 4), asked("/b", 4), asked("/a", 4), asked("/c", 4)] == [False, False, True, False]
    assert [asked("/a", 4), asked("/b", 4)] == [True, False], "the one that was not used for longest is gone"
    assert [asked("/d", 11), asked("/d", 1)] == [False, False]


def test_an_answer_that_is_no_success_is_an_error_that_says_what_to_do() -> None:
    def of(status: int, code: str = "", title: str = "", wait: str | None = None) -> ClientError:
        return refusal(status, msgspec.json.encode({"code": code, "title": title, "detail": "why"}), wait)

    assert isinstance(of(404, "unknown_symbol"), UnknownSymbol) and isinstance(
        of(404, title="Unknown symbol"), UnknownSymbol
    )
    assert isinstance(of(503, "no_report"), NoReport) and isinstance(of(503, "data_unavailable"), Unavailable)
    assert isinstance(of(422), BadRequest) and isinstance(of(421), Refused)
    many = of(429, wait="7")
    assert isinstance(many, TooManyRequests) and many.retry_after_s == 7.0 and many.retryable
    page = refusal(502, b"<html>Bad gateway</html>", "Wed, 21 Oct 2026 07:28:00 GMT")
    assert str(page) == "the server answered 502 Bad Gateway" and page.retry_after_s is None
    assert isinstance(page, Unavailable) and page.retryable, "a proxy's, while the server starts again"
    assert isinstance(of(502, "bad_report"), BadAnswer)


def test_a_stream_of_several_symbols_tells_each_report_once() -> None:
    following = Following(["AAUSDT", "kraken:BTC/USD", "AAUSDT"], 2.0, 60.0)
    assert following.request().target == "/v1/stream/reports?symbols=AAUSDT,kraken:BTC%2FUSD"
    first, other = report(), report("kraken:BTC/USD")
    assert [one.symbol for one in told(following, ("report", first, 1.0), ("report", other, 1.0))] == [
        "AAUSDT",
        "kraken:BTC/USD",
    ]
    assert told(following, ("report", first, 1.1), ("ping", b"", 1.2)) == []
    absent = b'{"now":1,"symbol":"AAUSDT","text":"AAUSDT has no report now"}'
    [lost] = told(following, ("absent", absent, 1.2), ("absent", absent, 1.3))
    assert lost.symbols == ("AAUSDT",) and isinstance(lost.error, NoReport)
    outage = b'{"awayForMs":1020,"text":"Redis is away"}'
    [lost] = told(following, ("outage", outage, 1.4), ("outage", outage, 1.5))
    assert lost.symbols == ("kraken:BTC/USD",) and isinstance(lost.error, Unavailable)
    assert len(told(following, ("report", first, 1.6), ("report", other, 1.6))) == 2, "they end what was lost"


def test_a_symbol_in_lower_case_is_lost_each_time() -> None:
    following = Following("aausdt", 2.0, 60.0)
    for number in range(2):
        [lost] = told(following, ("outage", b'{"awayForMs":1020,"text":"Redis is away"}', 1.0))
        assert lost.symbols == ("AAUSDT",)
        assert len(told(following, ("report", report(at_ms=AT + number), 1.0))) == 1


def test_a_stream_that_is_behind_is_opened_again() -> None:
    following = Following(["AAUSDT"], 2.0, 60.0)
    following.request()
    [first, second] = told(following, ("report", report(), 5.0), ("report", report(at_ms=AT + 250), 6.0))
    assert first.freshness.data_age_ms == 100
    assert second.freshness.data_age_ms == 850, "it came 0.75 s later than it should"
    with pytest.raises(Unreachable, match="behind"):
        told(following, ("report", report(at_ms=AT + 500), 8.0))
    following.request()
    assert len(told(following, ("report", report(at_ms=AT + 3_000), 12.0))) == 1, (
        "a new connection is measured by itself"
    )
    assert (
        len(told(Following(["AAUSDT"], None, 60.0), ("report", report(), 5.0), ("report", report(at_ms=AT + 1), 99.0)))
        == 2
    )


def test_clocks_that_drift_apart_make_nothing_late() -> None:
    delay = Delay()
    late = [delay.of(AT + minute * 60_000, minute * 60.012) for minute in range(600)]
    assert max(late) < 0.03


def test_waits_grow_to_a_limit_and_end_with_the_patience() -> None:
    following = Following(["AAUSDT"], 2.0, 60.0)
    away = Unreachable("no connection")
    lost, first = following.broke(away, 100.0)
    assert lost == [Lost(("AAUSDT",), away)] and 0.125 <= first <= 0.25
    waits = [following.broke(away, 101.0) for _ in range(12)]
    assert [lost for lost, _ in waits if lost] == []
    assert waits[0][1] > 0.25 - 1e-9 and LONGEST_WAIT_S / 2 <= waits[-1][1] <= LONGEST_WAIT_S
    told(following, ("report", report(), 150.0))
    busy = Unavailable("Too many streams")
    busy.retry_after_s = 5.0
    lost, wait = following.broke(busy, 155.0)
    assert lost and wait == 5.0, "it starts again, and waits as long as the server asks"
    busy.retry_after_s = 3_600.0
    assert following.broke(busy, 214.9)[1] == LONGEST_WAIT_S
    with pytest.raises(Unavailable):
        following.broke(busy, 215.0)
    with pytest.raises(UnknownSymbol):
        Following(["AAUSDT"], 2.0, 60.0).broke(UnknownSymbol("there is no symbol"), 0.0)
