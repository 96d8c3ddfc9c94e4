"""What becomes of one attempt: what the target answers, does not answer, or what Apprise says of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.alerts.conftest import SECRET, Receiver
from tickfence.alerts import delivery
from tickfence.alerts.delivery import Delivery
from tickfence.alerts.firing import Firing, Kind, Message, Outcome
from tickfence.alerts.rules import BadRules, Rule, Rules, Target
from tools.local.ports import pick

MESSAGE = Message("desk", Kind.FIRING)
FIRING = Firing("wide/B/5", "wide", "B", 5, 5, 2.5, [MESSAGE])


@pytest.fixture
def attempt(tmp_path: Path) -> Callable[..., Outcome]:
    (tmp_path / "secret").write_text(SECRET)

    def once(target: Target) -> Outcome:
        async def run() -> Outcome:
            rules = Rules({"desk": target}, {"wide": Rule("spread_bps", ["desk"], above=1.0, note="Look.")})
            one = Delivery(rules)
            try:
                return await one.attempt(FIRING, MESSAGE)
            finally:
                await one.close()

        return asyncio.run(run())

    return once


@pytest.fixture
def post(attempt: Callable[..., Outcome], tmp_path: Path) -> Callable[[str], Outcome]:
    return lambda url: attempt(Target(webhook=url, secret_file=str(tmp_path / "secret")))


def test_a_message_that_is_late_does_not_tell_the_end_that_its_own_message_tells() -> None:
    ended = Message("desk", Kind.RESOLVED)
    firing = Firing("wide/B/5", "wide", "B", 5, 5, 2.5, [MESSAGE, ended], ended_ms=9, reason="rule removed")
    told = [delivery.payload(firing, message, None) for message in (MESSAGE, ended)]
    assert [(one["state"], one["ended_ms"], one["reason"]) for one in told] == [
        ("firing", None, ""),
        ("resolved", 9, "rule removed"),
    ]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (302, Outcome.REJECTED),
        (400, Outcome.REJECTED),
        (408, Outcome.REFUSED),
        (429, Outcome.REFUSED),
        (503, Outcome.REFUSED),
        (504, Outcome.UNKNOWN),
    ],
)
def test_an_answer(post: Callable[[str], Outcome], receiver: Receiver, status: int, outcome: Outcome) -> None:
    receiver.status = status
    assert post(receiver.url) is outcome
    assert receiver.forged == 0
    assert [(each["id"], each["field"], each["note"]) for each in receiver.got] == [("wide/B/5", "spread_bps", "Look.")]


def test_nobody_listens(post: Callable[[str], Outcome], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert post(f"http://127.0.0.1:{pick()}/hooks/of-the-desk") is Outcome.REFUSED
    assert "ConnectError" in caplog.text
    assert "of-the-desk" not in caplog.text, "the address may be a secret"


def test_no_answer_in_time(post: Callable[[str], Outcome], receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_S", 0.5)
    answer = threading.Event()
    receiver.wait = lambda: answer.wait(30)
    try:
        assert post(receiver.url) is Outcome.UNKNOWN
    finally:
        answer.set()


def test_an_answer_without_an_end_is_not_read(post: Callable[[str], Outcome], receiver: Receiver) -> None:
    receiver.endless = True
    assert post(receiver.url) is Outcome.ACCEPTED


def test_apprise_sends(attempt: Callable[..., Outcome], receiver: Receiver, tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    path = tmp_path / "desk"
    path.write_text(receiver.url.replace("http:", "json:"))
    assert attempt(Target(apprise_file=str(path))) is Outcome.ACCEPTED
    [told] = receiver.got
    assert told["title"] == "wide: B firing"
    assert told["message"] == "spread_bps = 2.5, since 1970-01-01 00:00:00 UTC\nLook.\nwide/B/5"
    receiver.status = 503
    assert attempt(Target(apprise_file=str(path))) is Outcome.UNKNOWN
    path.write_text("nothing://that-it-knows")
    with pytest.raises(BadRules, match=r"targets\.desk: apprise_file=.*: Apprise does not know such a URL"):
        attempt(Target(apprise_file=str(path)))
