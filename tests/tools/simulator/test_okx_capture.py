"""What a recording of OKX is read as."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.simulator.capture import BadCapture
from tools.simulator.okx import capture

BOOK = {"channel": "books", "instId": "BTC-USDT"}


def written(tmp_path: Path, *messages: object) -> str:
    lines = [
        f"{1000 + number}.5: {one if isinstance(one, str) else json.dumps(one)}" for number, one in enumerate(messages)
    ]
    (tmp_path / "okx.ws").write_text("\n".join(lines))
    rules = {"code": "0", "data": [{"instId": "BTC-USDT", "tickSz": "0.1"}], "msg": ""}
    url = "https://www.okx.com/api/v5/public/instruments?instType=SPOT"
    (tmp_path / "okx.http").write_text(f"{url} -> 999.5: {json.dumps(rules)}\n")
    return str(tmp_path / "okx")


def book(action: str, **ids: int) -> dict[str, object]:
    return {"arg": BOOK, "action": action, "data": [{"asks": [], "bids": [["1", "2", "0", "1"]], "ts": "5", **ids}]}


def test_books_without_sequence_ids_get_connected_ones(tmp_path: Path) -> None:
    early, rest = book("update"), (book("snapshot"), book("update"), "pong", book("update"))
    subscribed = {"event": "subscribe", "arg": BOOK}
    other = {"arg": {"channel": "instruments", "instType": "SPOT"}, "data": [{}]}
    stem = written(tmp_path, subscribed, other, early, *rest)
    assert capture.is_capture(stem)
    found = capture.load(stem)
    assert found.instruments == [{"instId": "BTC-USDT", "tickSz": "0.1"}]
    data = [json.loads(message.payload)["data"][0] for message in found.messages]
    ids = [(one["prevSeqId"], one["seqId"]) for one in data]
    assert ids[0][0] == -1
    assert [previous for previous, _ in ids[1:]] == [seq_id for _, seq_id in ids[:-1]]
    assert len(ids) == 3


def test_ids_that_were_recorded_stay(tmp_path: Path) -> None:
    stem = written(tmp_path, book("snapshot", prevSeqId=-1, seqId=7), book("update", prevSeqId=7, seqId=9))
    assert [json.loads(one.payload)["data"][0]["seqId"] for one in capture.load(stem).messages] == [7, 9]


@pytest.mark.parametrize("line", ["{", "[]", '{"arg":{"channel":"books"},"data":[{}]}'])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    stem = written(tmp_path, book("snapshot"), line)
    with pytest.raises(BadCapture, match=r"okx\.ws:2: not a message of OKX"):
        capture.load(stem)
