"""``celery history``: what reports said over time, as a table, JSON and CSV."""

from __future__ import annotations

import re

import pytest
import redis
from click.testing import CliRunner
from rich.console import Console

from tests.web.reporting import Cluster
from tickfence.analytics.history_row import HistoryRow
from tickfence.cli import history_view, plugin
from tickfence.cli.session import NotAccepted, NothingThere
from tickfence.instrument import Instrument
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

SYMBOL = Instrument("BTCUSDT")
SETTINGS = Settings.from_environment({"NT_RECORDINGS": "/nonexistent"})


@pytest.fixture
def start(redis_client: redis.Redis) -> int:
    """When the history began: 30 s ago."""
    cluster = Cluster(redis_client)
    start = cluster.now_ms() // 10_000 * 10_000 - 30_000
    rows = [
        HistoryRow(time_ms=start + 1000 * n, token=7, mid_price=100.5 + n, health=90.0, status="ok") for n in range(25)
    ]
    cluster.history(SYMBOL, *rows)
    return start


def read(client: redis.Redis, since: str = "-10m", step: str = "", fields: str = "", limit: int = 1000) -> object:
    return history_view.read(client, SETTINGS, SYMBOL, since, "now", step, fields, limit)


def test_rows_of_a_range_for_people_and_for_programs(redis_client: redis.Redis, start: int) -> None:
    view = history_view.read(redis_client, SETTINGS, SYMBOL, "-10m", "now", "10s", "mid_price,status", 2)
    columns = {"time_ms": [start + 9_000, start + 19_000], "mid_price": [109.5, 119.5], "status": ["ok", "ok"]}
    assert view.data.items() >= {"symbol": "BTCUSDT", "stepMs": 10_000, "columns": columns, "more": True}.items()
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(view.picture)
    shown = captured.get()
    assert re.search(r"\d\d \w{3} \d\d:\d\d:\d\d\s*│\s*119\.5 │ ok", shown)
    assert f"There are more: --since {start + 20_000}" in " ".join(shown.split())
    assert "recordings have nothing older in this range." in " ".join(shown.split())


def test_csv_goes_to_standard_output_and_what_is_missing_to_standard_error(
    redis_server: EmbeddedRedis, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url())
    monkeypatch.setenv("NT_RECORDINGS", "/nonexistent")
    asked = ["btcusdt", "--since", "-10m", "--fields", "token", "--limit", "1"]
    shown = CliRunner().invoke(plugin.history, [*asked, "--csv"])
    assert (shown.exit_code, shown.stdout) == (0, f"time_ms,token\n{start},7\n")
    assert shown.stderr.splitlines()[1] == f"There are more: --since {start + 1}"
    refused = CliRunner().invoke(plugin.history, [*asked, "--csv", "--json"])
    assert refused.exit_code == 2 and "give --csv without --json and --watch" in refused.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"since": "soon"}, "since='soon': must be "),
        ({"step": "x"}, "step='x': must be "),
        ({"fields": "x"}, "there is no field 'x'; there are time_ms, "),
    ],
)
def test_what_is_not_accepted_is_one_line(redis_client: redis.Redis, given: dict[str, str], told: str) -> None:
    with pytest.raises(NotAccepted, match=re.escape(told)):
        read(redis_client, **given)  # type: ignore[arg-type]


def test_without_a_row_there_is_nothing_to_show(redis_client: redis.Redis) -> None:
    with pytest.raises(NothingThere, match=r"Redis has no history of BTCUSDT; recordings have nothing older"):
        read(redis_client)
