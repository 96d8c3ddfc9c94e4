"""``python -m tickfence.alerts`` as you type it: a wall in a real node's report, a real receiver, kills."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.alerts.conftest import SECRET, Receiver
from tests.docs.pages import blocks
from tests.processes import wait_until
from tests.tasks.cycle_runs import S
from tests.tasks.market import Market
from tests.tasks.workers import ROOT, Workers
from tickfence.alerts.delivery import signature
from tickfence.keys import Keys
from tools.local import ports
from tools.local.embedded_redis import EmbeddedRedis

pytestmark = pytest.mark.timeout(300)  # each waits for several processes to start

FIRING, RESOLVED = "firing", "resolved"


class Scene:
    """A node that writes reports of one market, and senders that look at them."""

    def __init__(self, workers: Workers, receiver: Receiver, folder: Path) -> None:
        self.workers, self.receiver, self.folder = workers, receiver, folder
        self.senders: list[subprocess.Popen[bytes]] = []
        self.market, self._writes = Market(workers.client, S), threading.Lock()
        self.market.open()
        for _ in range(20):
            self.market.diff(bids=[(99.5, 1.0)])
        (folder / "secret").write_text(SECRET)
        self.rules = folder / "rules.toml"
        self.rules.write_text(f"""
            [targets.desk]
            webhook = "{receiver.url}"
            secret_file = "{folder}/secret"
            [rules.wall]
            field = "liquidity.walls[side=bid].qty"
            above = 50.0
            clear = 40.0
            targets = ["desk"]
            note = "Look at the book."
        """)
        workers.start("-Q", "node-x")
        workers.joined("node-x")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        """Keep data and reports fresh."""
        while not self._ended.wait(0.1):
            self.level(98.5, 1.0)
            for task in ("slow_cycle", "fast_cycle"):
                self.workers.dispatch("node-x", task=task)

    def level(self, price: float, quantity: float) -> None:
        with self._writes:
            self.market.diff(bids=[(price, quantity)])

    def wall(self, quantity: float) -> None:
        self.level(99.0, quantity)

    def send(self) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NT_")} | {
            "REDIS_URL": self.workers.server.url(),
            "SYMBOLS": S,
            "NT_ALERT_RULES": str(self.rules),
            "NT_METRICS_PORT": "0",
            "NT_LEASE_TTL_MS": "3000",
            "NT_REPORT_PERIOD_MS": "500",
        }
        command = [sys.executable, "-m", "tickfence.alerts"]
        with self._log(len(self.senders)).open("wb") as log:
            one = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.senders.append(one)
        return one

    def until(self, condition: Callable[[], object], what: str) -> None:
        def told() -> str:
            logs = [self.said(number) for number in range(len(self.senders))]
            report = {**(self.workers.report() or {}), "flow": ""}
            return "\n".join([what, f"got: {self.receiver.got}", f"report: {report}", *logs, self.workers.said()])

        wait_until(condition, told, 60)

    def refused(self) -> int:
        """The attempts of the message that waits for its next one, as recorded."""
        records = self.workers.client.hgetall(Keys().alerts)
        messages = [one for name, text in records.items() if name != b"token" for one in json.loads(text)["messages"]]
        return sum(one["attempts"] for one in messages if one["state"] == "waiting")

    def said(self, number: int) -> str:
        return self._log(number).read_text()

    def _log(self, number: int) -> Path:
        return self.folder / f"alerts-{number}.log"

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        for each in self.senders:
            each.kill()
            each.wait()


@pytest.fixture
def scene(own_redis_server: Callable[..., EmbeddedRedis], receiver: Receiver, tmp_path: Path) -> Iterator[Scene]:
    server = own_redis_server()
    with server.client() as client:
        workers = Workers(server, client, tmp_path)
        try:
            one = Scene(workers, receiver, tmp_path)
            yield one
            one.close()
        finally:
            workers.close()


def test_a_planted_wall_is_told_once_and_its_end_too_whatever_is_killed(scene: Scene) -> None:
    receiver = scene.receiver
    scene.send()
    scene.until(lambda: "sending alerts" in scene.said(0), "a sender")
    scene.send()
    scene.until(lambda: "standing by" in scene.said(1), "another one to stand by")
    receiver.status = 503
    scene.wall(75.0)
    scene.until(lambda: scene.refused() >= 2, "it to have tried again")
    scene.senders[0].kill()
    scene.until(lambda: "sending alerts" in scene.said(1), "the other one to take over")
    receiver.status = 200
    scene.until(lambda: receiver.accepted, "the message to be accepted")
    scene.wall(45.0)  # not above, and not yet clear
    third = scene.send()
    scene.senders[1].send_signal(signal.SIGSTOP)
    scene.until(lambda: "sending alerts" in scene.said(2), "the third one to take over")
    scene.senders[1].send_signal(signal.SIGCONT)
    scene.until(lambda: scene.said(1).count("standing by") == 2, "the second one to know")
    assert len(receiver.accepted) == 1
    scene.wall(0.0)
    scene.until(lambda: len(receiver.accepted) == 2, "its end to be told")
    third.terminate()
    assert third.wait(20) == 0
    scene.until(lambda: scene.said(1).count("sending alerts") == 2, "the second one to get the lease back")
    scene.wall(90.0)
    scene.until(lambda: len(receiver.accepted) == 3, "the next wall")

    (first, first_state), (second, second_state), (other, other_state) = receiver.accepted
    assert (first_state, second_state, other_state) == (FIRING, RESOLVED, FIRING)
    assert first == second != other
    assert len({(each["id"], each["state"]) for each in receiver.got}) == 3
    assert receiver.forged == 0
    [told] = [each for each in receiver.got if each["state"] == RESOLVED]
    assert (told["rule"], told["symbol"], told["note"]) == ("wall", S, "Look at the book.")
    assert told["value"] == 75.0 and told["ended_ms"] > told["fired_ms"] == told["since_ms"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_what_was_under_way_when_its_sender_was_stopped_is_not_sent_again(scene: Scene, how: signal.Signals) -> None:
    receiver, answer = scene.receiver, threading.Event()
    receiver.wait = lambda: answer.wait(60)
    scene.send()
    scene.until(lambda: "sending alerts" in scene.said(0), "a sender")
    scene.wall(75.0)
    scene.until(lambda: receiver.got, "an attempt")
    scene.senders[0].send_signal(how)
    scene.send()
    scene.until(lambda: "is not sent again: its sender ended" in scene.said(1), "the next one to know")
    answer.set()
    scene.senders[0].send_signal(signal.SIGCONT)
    scene.wall(0.0)
    scene.until(lambda: len(receiver.accepted) == 2, "its end")
    assert [each["state"] for each in receiver.got] == [FIRING, RESOLVED]


def test_records_that_redis_has_lost_are_written_back_and_told_no_second_time(scene: Scene) -> None:
    scene.send()
    scene.wall(75.0)
    scene.until(lambda: scene.receiver.accepted, "the message")
    scene.send()
    scene.until(lambda: "standing by" in scene.said(1), "another one to stand by")
    scene.workers.client.delete(Keys().alerts, Keys().alerts_lease)
    scene.until(lambda: scene.workers.client.hlen(Keys().alerts) == 2, "the record to be written back")
    scene.wall(0.0)
    scene.until(lambda: len(scene.receiver.accepted) == 2, "its end")
    assert [each["state"] for each in scene.receiver.got] == [FIRING, RESOLVED]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "error: NT_ALERT_RULES must be a file of rules"),
        ({"NT_ALERT_RULES": "/nowhere.toml"}, "error: NT_ALERT_RULES=/nowhere.toml: must be a file that can be read"),
    ],
)
def test_a_wrong_file_ends_it_with_one_line(variables: dict[str, str], said: str) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NT_")} | variables
    command = [sys.executable, "-m", "tickfence.alerts", "--check"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert said in ended.stderr and "Traceback" not in ended.stderr


def test_a_cluster_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NT_")} | {
        "REDIS_URL": f"redis+cluster://127.0.0.1:{ports.pick()}",
        "NT_ALERT_RULES": str(tmp_path / "rules.toml"),
        "NT_METRICS_PORT": "0",
    }
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "tickfence.alerts"], cwd=ROOT, env=environment, stdout=written, stderr=written
        )
    try:
        wait_until(lambda: "cannot reach the data plane" in log.read_text(), log.read_text, 30)
        assert process.poll() is None and "Traceback" not in log.read_text()
    finally:
        process.terminate()
        process.wait(10)


def test_the_pages_program_verifies_a_signature() -> None:
    [program] = [text for language, text in blocks((ROOT / "docs" / "alerts.md").read_text()) if language == "python"]
    names: dict = {}
    exec(program, names)
    now = str(int(time.time()))
    headers = {"Tickfence-Timestamp": now, "Tickfence-Signature": signature(SECRET, now, b"{}")}
    assert names["is_genuine"](headers, b"{}", SECRET)
    assert not names["is_genuine"](headers, b"{ }", SECRET)
    old = {"Tickfence-Timestamp": "1", "Tickfence-Signature": signature(SECRET, "1", b"{}")}
    assert not names["is_genuine"](old, b"{}", SECRET)
    assert re.fullmatch(r"v1=[0-9a-f]{64}", headers["Tickfence-Signature"])
