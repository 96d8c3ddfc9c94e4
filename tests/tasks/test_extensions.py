"""Sections of other packages: installed by pip, shown in every report; a bad one costs its own section alone."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import redis
from msgspec import UNSET, Struct, UnsetType

from tasks.cycles import SLOW
from tasks.extensions import STRIKES, Extensions
from tests.docs.pages import blocks
from tests.tasks.cycle_runs import KEYS, Counted, MakeNode, S, report, run
from tests.tasks.market import Market
from tests.tasks.workers import ROOT, Workers
from tickfence.analytics import basis, slow_cycle
from tickfence.analytics.extensions import MAX_BYTES, BadSection, Found, Installed, Section, without_extensions
from tickfence.analytics.report import Report, build
from tools.local.ports import pick


class Seen(Struct, frozen=True):
    """What the sections of these tests find."""

    bids: int
    ratio: float = 0.5


def depth(market) -> Seen:  # a number of numpy, as its functions return
    return Seen(len(market.bid_prices), np.float64(0.5))


def nothing(market) -> Seen | UnsetType:  # noqa: ARG001 - as every section
    return UNSET


def fails(market) -> Seen:  # noqa: ARG001
    raise ZeroDivisionError("a number nobody expected")


def exits(market) -> Seen:  # noqa: ARG001
    sys.exit(3)


class Text(Struct):
    text: str


def large(market) -> Text:  # noqa: ARG001
    return Text("x" * MAX_BYTES)


def not_finite(market) -> Seen:  # noqa: ARG001
    return Seen(1, float("nan"))


def no_struct(market) -> dict:  # noqa: ARG001
    return {}


class Row(Struct, array_like=True):
    """No object in JSON."""


def no_object(market) -> Row:  # noqa: ARG001
    return Row()


def found(bad: dict[str, str] | None = None, **sections: Section) -> Found:
    return Found(tuple(Installed(name, section) for name, section in sections.items()), bad or {})


@pytest.mark.usefixtures("market")
def test_a_report_is_the_same_bytes_with_the_sections_behind_and_the_next_owner_goes_on_with_them(
    node: MakeNode, redis_client: redis.Redis
) -> None:
    one, other = node("node-001"), node("node-002")
    sections = found(deep=Section(depth), none=Section(nothing), quick=Section(depth, fast=True))
    one.extensions = other.extensions = Extensions(sections, "node-001", 1000)
    run(one, cycle=SLOW)
    run(one)
    text = redis_client.get(KEYS.report(S))
    core = without_extensions(text)
    made = json.loads(text)
    assert made.pop("extensions") == {"deep": {"bids": 3, "ratio": 0.5}, "quick": {"bids": 3, "ratio": 0.5}}
    assert made == json.loads(core)
    state, writer = one.symbols[S].warm.state, made["writer"]
    assert core == build(state, made["updatedAt"], writer["nodeId"], writer["writerToken"])
    assert msgspec.json.decode(text, type=Report).extensions["deep"] == {"bids": 3, "ratio": 0.5}
    assert without_extensions(core) == core
    slow = redis_client.get(KEYS.slow(S))
    assert without_extensions(slow) == slow_cycle.run(state, json.loads(slow)["computed_at"])
    kept = [basis.decode(fields[b"b"]) for _, fields in redis_client.xrange(KEYS.basis(S))]
    [of_report] = [each for each in kept if each.kind is basis.Kind.REPORT]
    assert of_report.digest == basis.report_digest(core), "an audit needs no package of others"

    one.release()
    run(other, generation=2)
    assert report(redis_client)["extensions"].keys() == {"deep", "quick"}
    one.extensions = other.extensions = None
    del other.symbols[S]
    run(other, generation=2)
    assert b"extensions" not in redis_client.get(KEYS.report(S)), "they are not repeated where they are not installed"


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("fast", [False, True], ids=["slow", "fast"])
def test_a_section_that_raises_is_withheld_alone_counted_and_logged_once_a_minute(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture, fast: bool
) -> None:
    one = node()
    bad = {"exits": exits, "fails": fails, "large": large, "odd": not_finite}
    sections = {name: Section(find, fast) for name, find in bad.items()}
    one.extensions = Extensions(found(deep=Section(depth), **sections), "node-001", 1000)
    errors = [Counted("nt_section_failures_total", section=name, reason="error") for name in bad]
    withheld = Counted("nt_reports_withheld_total", reason="error")
    for _ in range(3):
        run(one, cycle=SLOW)
        run(one)
    assert report(redis_client)["extensions"].keys() == {"deep"}
    assert ([count() for count in errors], withheld()) == ([3, 3, 3, 3], 0)
    exited, first, too_large, second = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert first.message == "no section fails, because of an error: ZeroDivisionError: a number nobody expected"
    assert (first.symbol, first.node, first.exc_info[0]) == (S, "node-001", ZeroDivisionError)  # type: ignore[attr-defined,index]
    assert exited.message == "no section exits, because of an error: RuntimeError: it called sys.exit(3)"
    assert "ValueError: it has 65,547 bytes; the maximum is 65,536" in too_large.message
    assert second.message.startswith("no section odd, because of an error: ValidationError: Expected `float`")


@pytest.mark.usefixtures("market")
def test_a_section_over_its_budget_again_and_again_is_switched_off(
    node: MakeNode, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    now, takes = [0.0], [0.002]

    def long(market) -> Seen:
        now[0] += takes[0]
        return depth(market)

    one = node()
    sections = found(deep=Section(depth, fast=True), long=Section(long, fast=True))
    one.extensions = Extensions(sections, "node-001", 1.0, clock=lambda: now[0])
    over = Counted("nt_section_failures_total", section="long", reason="over budget")
    off = Counted("nt_section_off", section="long")
    for turn in range(3 * STRIKES):  # now and then is not again and again
        takes[0] = 0.002 if turn % 2 else 0.0005
        run(one)
    assert (off(), report(redis_client)["extensions"].keys()) == (0, {"deep", "long"})
    takes[0] = 0.002
    for _ in range(STRIKES + 1):
        run(one)
    assert off() == 1
    assert over() >= STRIKES
    assert report(redis_client)["extensions"].keys() == {"deep"}
    [line] = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert line == "the section long is switched off: it took 2 ms, and may take NT_SECTION_BUDGET_MS=1"


@pytest.mark.parametrize(
    ("name", "find", "said"),
    [
        ("Bad name", depth, r"its name must match \[a-z\]"),
        ("odd", no_struct, "annotated to return one msgspec Struct"),
        ("odd", no_object, "not array_like"),
        ("odd", print, "annotated to return one msgspec Struct"),
    ],
)
def test_what_cannot_be_a_section_says_why(name: str, find: Callable, said: str) -> None:
    with pytest.raises(BadSection, match=said):
        Installed(name, Section(find))


def test_the_tutorial_shows_the_packages_files() -> None:
    shown = dict(blocks((ROOT / "docs" / "extensions.md").read_text()))
    assert shown["python"] == (ROOT / "examples" / "extension" / "tickfence_pressure.py").read_text()
    page = (ROOT / "docs" / "extensions.md").read_text()
    assert (ROOT / "examples" / "extension" / "pyproject.toml").read_text() in page


def package(folder: Path, module: str, source: str, points: dict[str, str]) -> None:
    """A package as pip leaves it: a module, and what its entry points are."""
    (folder / f"{module}.py").write_text(source)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[tickfence.sections]", *lines, ""]))


HANGS = '''
import threading
from msgspec import Struct
from tickfence.analytics.extensions import Section


class Found(Struct):
    there: bool


def find(market) -> Found:
    """One symbol of its never ends."""
    if market.state.symbol == "HANGUSDT":
        threading.Event().wait()
    return Found(True)


section = Section(find, fast=True)
'''


UNKNOWN = """
from __future__ import annotations
from tickfence.analytics.extensions import Section


def find(market: SlowMarket) -> None:
    pass


section = Section(find)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tutorial's package and others are installed."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "extension"  # pip builds in the folder itself
    shutil.copytree(ROOT / "examples" / "extension", source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder)]
    subprocess.run([*pip, *options, str(source)], check=True)
    package(folder, "hangs", HANGS, {"hangs": "hangs:section", "again": "hangs:section"})
    package(folder, "broken", "import no_such_module", {"broken": "broken:section", "again": "broken:section"})
    package(folder, "unknown", UNKNOWN, {"unknown": "unknown:section"})
    return folder


def test_the_tutorials_package_is_in_a_real_nodes_report_and_broken_ones_are_told(workers: Workers, site: Path) -> None:
    Market(workers.client, S).open()
    port = pick(19_101)
    workers.start("-Q", "node-x", PYTHONPATH=str(site), NT_METRICS_PORT=str(port))
    workers.joined("node-x")
    for task in ("slow_cycle", "fast_cycle"):
        workers.dispatch("node-x", task=task)
    workers.wait(workers.report, "a report")
    about = {"within_bps": 100.0, "bid_qty": 12.0, "ask_qty": 1.0, "bid_share": 0.9231}
    assert workers.report()["extensions"] == {"hangs": {"there": True}, "pressure": about}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        off = dict(re.findall(r'^nt_section_off{section="(\w+)"} (\S+)', page.read().decode(), re.MULTILINE))
    assert off == {"again": "1.0", "broken": "1.0", "hangs": "0.0", "pressure": "0.0", "unknown": "1.0"}
    said = workers.said()
    assert "the section broken cannot be used: broken:section: ModuleNotFoundError: No module named" in said
    assert "the section unknown cannot be used: unknown:section: NameError: name 'SlowMarket' is not defined" in said
    assert "the section again cannot be used: " in said and "two packages give a section this name" in said


@pytest.mark.timeout(120)
def test_the_symbol_of_a_section_that_hangs_is_set_aside_and_the_others_go_on(workers: Workers, site: Path) -> None:
    symbols = ["HANGUSDT", S, "ETHUSDT", "BNBUSDT"]
    markets = [Market(workers.client, symbol) for symbol in symbols]
    for market in markets:
        market.open()
    variables = {
        "SYMBOLS": ",".join(symbols),
        "PYTHONPATH": str(site),
        "NT_STUCK_AFTER_MS": "600",
        "NT_REPORT_PERIOD_MS": "200",
        "NT_SLOW_PERIOD_MS": "10000",
    }
    nodes = ["node-1", "node-2", "node-3"]
    for name in nodes:
        workers.start("-Q", name, **variables)
    for name in nodes:
        workers.joined(name)
    workers.start(role="beat", **variables)

    def set_aside() -> bool:
        events = workers.client.xrange(KEYS.events)
        return any(b"set aside" in fields.values() for _, fields in events)

    workers.wait(set_aside, "the symbol to be set aside")
    records = [workers.client.hgetall(KEYS.node(name)) for name in nodes]
    assert sorted(record[b"working"] for record in records) == [b"", b"HANGUSDT", b"HANGUSDT"]
    assert workers.client.get(KEYS.report("HANGUSDT")) is None
    now_ms = market.now_ms()

    def others_go_on() -> bool:
        found = [json.loads(workers.client.get(KEYS.report(symbol)) or "{}") for symbol in symbols[1:]]
        return all(each.get("updatedAt", 0) > now_ms and each["extensions"]["hangs"] for each in found)

    workers.wait(others_go_on, "the others")
