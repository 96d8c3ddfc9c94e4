"""A short campaign on a real stack: a sample of the faults that end soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.chaos import last_release
from tools.chaos import campaign, history
from tools.chaos.checker import STALE_WRITE, TOKEN_FELL, check
from tools.chaos.faults import CHOSEN, KINDS
from tools.chaos.faults.rolling import OTHER_VERSION
from tools.chaos.frozen_writers import frozen_writers
from tools.chaos.summary import over_budget, plot, table

FAULTS = (
    "node-kill",
    "redis-empty",
    "frozen-writer",
    "twin",
    "two-versions",
    "recorder-kill",
)


@pytest.mark.e2e
@pytest.mark.timeout(240)
def test_a_short_campaign_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = last_release.check_out(tmp_path / "release")
    monkeypatch.setenv(OTHER_VERSION, str(release))
    faults = [name for name in FAULTS if name != "two-versions" or release]
    said: list[str] = []
    outcome = campaign.run(
        tmp_path / "stack", seed=1, seconds=180, only=faults, max_faults=len(faults), record=True, say=said.append
    )
    assert outcome.verdict.violations == []
    assert outcome.recordings is not None
    assert outcome.recordings.recorded >= outcome.recordings.due > 1000
    assert outcome.undue_conflicts == 0
    assert outcome.unsteady == []
    assert {kind for kind in outcome.faults if kind in faults} == set(faults)
    assert len(said) == len(faults)
    (frozen,) = frozen_writers(outcome.records)
    assert frozen.woke
    assert frozen.accepted == 0  # whether it had something to write when it was stopped is a matter of luck
    verdict = outcome.verdict
    assert verdict.writes > 100
    assert verdict.acquisitions > 6
    assert verdict.books_compared > verdict.writes / 2
    assert all(gap.longest_ms < 15_000 for gap in outcome.gaps)

    history.save(outcome.records, tmp_path / "history.jsonl")
    again = campaign.judge(history.load(tmp_path / "history.jsonl"))
    assert again.gaps == outcome.gaps
    assert check(again.records) == verdict
    text = table(outcome.gaps, outcome.faults, outcome.conflicts)
    assert all(f"| {name} " in text for name in faults)
    assert set(over_budget(outcome.gaps)) <= {kind.name for kind in KINDS}
    plot(outcome.gaps, tmp_path / "gaps.png", "a short campaign")
    assert (tmp_path / "gaps.png").stat().st_size > 1000


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_a_campaign_finds_out_writers_that_check_and_then_write(tmp_path: Path) -> None:
    outcome = campaign.run(
        tmp_path / "stack",
        seed=14,  # its freezes are short
        seconds=60,
        only=("node-freeze",),
        max_faults=3,
        environment={"SYMBOLS": "BTCUSDT,ETHUSDT,SOLUSDT"},
        app="tests.tools.chaos.check_then_write_app",
        say=lambda _line: None,
    )
    assert {TOKEN_FELL, STALE_WRITE} & {violation.kind for violation in outcome.verdict.violations}
    assert sum(freeze.accepted for freeze in frozen_writers(outcome.records)) > 0


def test_every_kind_is_committed_skipped_or_follows_from_another() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert set(FAULTS) - {"two-versions"} <= set(CHOSEN)
