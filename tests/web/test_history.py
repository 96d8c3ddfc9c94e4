"""A symbol's past over HTTP: JSON and CSV, page by page, compressed, and not sent twice."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from urllib.parse import quote

from tests.web.reporting import KEYS, Cluster
from tests.web.web_process import WebProcess
from tickfence.analytics.history_row import FIELDS, HistoryRow, pack
from tickfence.recordings.kinds import Kind
from tickfence.recordings.rows import history_row, table
from tickfence.recordings.store import Store

PATH = "/v1/reports/AAUSDT/history"


def rows(first_ms: int, count: int) -> list[HistoryRow]:
    return [
        HistoryRow(time_ms=first_ms + 1000 * n, token=7, mid_price=100 + n, health=90.0, status="ok", severity="low")
        for n in range(count)
    ]


def test_the_last_minutes_as_columns_and_as_csv(web: WebProcess, cluster: Cluster) -> None:
    start = cluster.now_ms() // 10_000 * 10_000 - 60_000
    cluster.history("AAUSDT", *rows(start, 60))
    found = web.get(f"{PATH}?since={start}&until={start + 40_000}&step=10s&fields=mid_price,status")
    assert (found.status, found.headers["Content-Type"]) == (200, "application/json")
    times = [start + 9_000, start + 19_000, start + 29_000, start + 39_000]
    assert found.json["columns"] == {"time_ms": times, "mid_price": [109, 119, 129, 139], "status": ["ok"] * 4}
    assert (found.json["stepMs"], found.json["next"], found.json["note"]) == (10_000, None, None)
    assert list(web.get(f"{PATH}?since=-90s").json["columns"]) == list(FIELDS)
    by_header = web.get(f"{PATH}?since=-90s", Accept="text/csv, application/json;q=0.9")
    assert (by_header.status, by_header.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert by_header.headers["Content-Disposition"] == 'inline; filename="AAUSDT-history.csv"'
    lines = list(csv.reader(io.StringIO(by_header.body.decode(), newline="")))
    assert (lines[0], len(lines)) == (list(FIELDS), 61)
    assert (
        dict(zip(*lines[:2], strict=True)).items()
        >= {"time_ms": str(start), "spread_bps": "", "severity": "low"}.items()
    )
    assert web.get(f"{PATH}?since=-90s&format=json", Accept="text/csv").headers["Content-Type"] == "application/json"


def test_a_page_names_the_next_one(web: WebProcess, cluster: Cluster) -> None:
    start = cluster.now_ms() - 60_000
    cluster.history("AAUSDT", *rows(start, 25))
    found: list[int] = []
    address = f"{PATH}?since=-2m&limit=10&fields=token"
    for number in (10, 10, 5):
        page = web.get(address)
        times = page.json["columns"]["time_ms"]
        assert len(times) == number
        found += times
        address = page.json["next"]
        assert page.headers.get("Link") == (f'<{address}>; rel="next"' if address else None)
    assert address is None and found == [start + 1000 * n for n in range(25)]
    as_csv = web.get(f"{PATH}?since=-2m&limit=24&format=csv")
    follow = re.fullmatch('<(.*)>; rel="next"', as_csv.headers["Link"])
    assert follow and web.get(follow[1]).body.decode().splitlines()[1].startswith(str(found[-1]))


def test_a_page_of_a_symbol_that_is_not_ascii_names_the_next_one(web: WebProcess, cluster: Cluster) -> None:
    cluster.history("币安人生USDT", *rows(cluster.now_ms() - 60_000, 25))
    page = web.get(f"/v1/reports/{quote('币安人生USDT')}/history?since=-2m&limit=20&fields=token")
    assert page.status == 200
    assert page.headers["Link"] == f'<{page.json["next"]}>; rel="next"'
    assert len(web.get(page.json["next"]).json["columns"]["token"]) == 5


def test_what_has_not_changed_is_not_sent_again_and_the_rest_is_compressed(web: WebProcess, cluster: Cluster) -> None:
    start = cluster.now_ms() - 60_000
    cluster.history("AAUSDT", *rows(start, 50))
    plain = web.get(f"{PATH}?since={start}")
    packed = web.get(f"{PATH}?since={start}", Accept_Encoding="br, gzip;q=0.5")
    assert packed.headers["Content-Encoding"] == "gzip" and len(packed.body) < len(plain.body) / 2
    assert gzip.decompress(packed.body).startswith(plain.body[:40])
    assert packed.headers["ETag"] == plain.headers["ETag"] and "Accept-Encoding" in packed.headers["Vary"]
    assert "Content-Encoding" not in web.get(f"{PATH}?since={start}", Accept_Encoding="gzip;q=0, *").headers
    same = web.get(f"{PATH}?since={start}", If_None_Match=f'"other", {plain.headers["ETag"]}')
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", plain.headers["ETag"])
    assert web.get(f"{PATH}?since={start}&format=csv", If_None_Match=plain.headers["ETag"]).status == 200
    cluster.history("AAUSDT", *rows(start + 50_000, 1))
    assert web.get(f"{PATH}?since={start}", If_None_Match=plain.headers["ETag"]).status == 200


def test_a_removed_symbol_is_known_by_its_recording(web: WebProcess, cluster: Cluster, recordings: Path) -> None:
    start = cluster.now_ms() // 3_600_000 * 3_600_000 - 7_200_000
    old = [history_row("GONEUSDT", f"{row.time_ms}-0", row) for row in rows(start, 3)]
    Store(str(recordings)).write(table(Kind.HISTORY, old), Kind.HISTORY, "recorder-1.1", 1)
    path = f"/v1/reports/GONEUSDT/history?until={start + 60_000}"
    assert web.get(f"{path}&since={start}&fields=mid_price").json["columns"]["mid_price"] == [100, 101, 102]
    assert web.get(f"{path}&since={start + 30_000}").status == 404
    known = web.get(f"{PATH}?since=-1h")
    assert known.json["columns"]["time_ms"] == []
    assert known.headers["Note"] == known.json["note"]
    assert known.json["note"] == "Redis has no history of AAUSDT; recordings have nothing older in this range"


def test_the_lines_of_the_board_are_one_answer_and_each_step_is_read_once(web: WebProcess, cluster: Cluster) -> None:
    now = cluster.now_ms()
    step = now // 30_000 * 30_000
    cluster.history("AAUSDT", *rows(step - 90_000, 90))
    found = web.get("/v1/sparklines?symbols=AAUSDT,BBUSDT").json
    assert found["lines"]["BBUSDT"] == []
    if found["now"] // 30_000 * 30_000 == step:
        assert found["lines"]["AAUSDT"] == [[step - 61_000, 129], [step - 31_000, 159], [step - 1_000, 189]]
    cluster.client.config_resetstat()
    assert web.get("/v1/sparklines?symbols=AAUSDT").json["lines"]
    assert cluster.client.info("commandstats").get("cmdstat_xrevrange", {"calls": 0})["calls"] <= 1


def test_a_damaged_history_stays_one_symbols_trouble(web: WebProcess, cluster: Cluster) -> None:
    step = cluster.now_ms() // 30_000 * 30_000
    cluster.history("DDUSDT", *rows(step - 90_000, 60))
    cluster.client.xadd(KEYS.history("EEUSDT"), {"r": b"x"}, id=f"{step - 40_000}-0")
    cluster.history("EEUSDT", *rows(step - 29_000, 1))
    cluster.client.set(KEYS.history("FFUSDT"), "no stream")
    for _ in range(2):
        found = web.get("/v1/sparklines?symbols=DDUSDT,EEUSDT,FFUSDT").json
        assert [price for _, price in found["lines"]["DDUSDT"]] == [129, 159]
        assert [price for _, price in found["lines"]["EEUSDT"]] == [100]
        assert found["lines"]["FFUSDT"] == []
        assert sorted(found["unreadable"]) == ["EEUSDT", "FFUSDT"]
        assert found["unreadable"]["FFUSDT"].startswith("history:{report:FFUSDT} holds what tickfence did not write: ")


def test_the_lines_go_on_after_the_clock_was_set_back(web: WebProcess, cluster: Cluster) -> None:
    """Ids stay where they were, an hour ahead of the clock; the times of the rows are those of the clock."""
    step = cluster.now_ms() // 30_000 * 30_000
    key, ahead = KEYS.history("GGUSDT"), step + 3_600_000
    for number, row in enumerate((*rows(ahead - 61_000, 60), *rows(step - 61_000, 60))):
        cluster.client.xadd(key, {"r": pack(row)}, id=f"{min(ahead, row.time_ms if number < 60 else ahead)}-{number}")
    found = web.get("/v1/sparklines?symbols=GGUSDT").json
    assert [price for _, price in found["lines"]["GGUSDT"]] == [100, 130, 159][-len(found["lines"]["GGUSDT"]) :]
    assert len(found["lines"]["GGUSDT"]) >= 2
