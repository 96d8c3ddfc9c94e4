"""Which roles a stack has, and what each is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickfence.settings import Settings
from tools.local.roles import Ports, Role, stack_environment, stack_roles, with_second_venue

PORTS = Ports(redis=7001, simulator=7002, flower=7003, web=7004, metrics={
    "node-001": 7101, "node-002": 7102, "node-003": 7103, "beat-1": 7111, "beat-2": 7112, "ingest-1": 7121, "ingest-2": 7122,
    "recorder-1": 7131, "recorder-2": 7132,
})  # fmt: skip


def roles(
    environment: dict[str, str] | None = None, *, simulate: bool = True, recordings: str | None = None
) -> dict[str, Role]:
    settings = Settings.from_environment(environment or {})
    found = stack_roles(settings, PORTS, Path("/state/redis"), simulate=simulate, recordings=recordings)
    assert [role.phase for role in found] == sorted(role.phase for role in found)
    return {role.name: role for role in found}


def test_nodes_and_beats_are_started_by_the_plain_commands() -> None:
    commands = {name: " ".join(role.command) for name, role in roles().items()}
    for node in ("node-001", "node-002", "node-003"):
        assert commands[node].endswith(f"/celery -A tasks worker -Q {node}")
    assert commands["beat-1"] == commands["beat-2"]
    assert commands["beat-1"].endswith("/celery -A tasks beat")
    assert commands["ingest-1"] == commands["ingest-2"]
    assert commands["ingest-1"].endswith(" -m ingest")


def test_redis_starts_first_and_stops_last() -> None:
    phases = {name: role.phase for name, role in roles().items()}
    assert phases["redis"] < phases["simulator"] < phases["ingest-1"] == phases["ingest-2"]
    assert phases["ingest-2"] < phases["node-001"] == phases["beat-1"]


def test_each_measured_role_has_a_metrics_port_of_its_own() -> None:
    all_roles = roles(recordings="s3://market/data")
    given = {name: role.environment["NT_METRICS_PORT"] for name, role in all_roles.items() if role.environment}
    assert given == {name: str(port) for name, port in PORTS.metrics.items()}


def test_recorders_are_there_when_asked_for_and_each_has_a_log_of_its_own() -> None:
    recording = roles(recordings="s3://market/data")
    assert recording.keys() - roles().keys() == {"recorder-1", "recorder-2"}
    told = [recording[name].environment for name in ("recorder-1", "recorder-2")]
    assert [one["NT_RECORDINGS"] for one in told] == ["s3://market/data"] * 2
    assert [one["NT_RECORDER_WAL"] for one in told] == [
        "/state/recorder-wal/recorder-1",
        "/state/recorder-wal/recorder-2",
    ]


@pytest.mark.parametrize(
    ("environment", "absent"),
    [
        ({"NT_ENABLE_MULTI_INSTANCE": "false"}, {"ingest-2", "node-002", "node-003", "beat-2"}),
        ({"NT_ENABLE_KV_REPORTS": "false"}, {"node-001", "node-002", "node-003", "beat-1", "beat-2", "flower", "web"}),
    ],
)
def test_modes_leave_out_what_has_nothing_to_do(environment: dict[str, str], absent: set[str]) -> None:
    assert roles().keys() - roles(environment).keys() == absent


def test_the_local_exchange_has_the_symbols_that_are_reported_on() -> None:
    command = roles({"SYMBOLS": "AAUSDT,BBUSDT"})["simulator"].command
    assert command[command.index("--symbols") + 1] == "AAUSDT,BBUSDT"
    assert command[command.index("--port") + 1] == "7002"


def test_an_address_that_is_given_counts() -> None:
    environment = stack_environment({"NT_VENUE_URLS": "kraken.ws=ws://there,okx.ws=ws://other"}, PORTS)
    urls = Settings.from_environment(environment).nt_venue_urls
    assert (urls["kraken.ws"], urls["okx.ws"], urls["okx.rest"]) == (
        "ws://there",
        "ws://other",
        "http://127.0.0.1:7002",
    )


def test_make_run_shows_a_second_venue_unless_it_is_told_what_to_show() -> None:
    shown = with_second_venue({"NT_LOG_LEVEL": "DEBUG"})
    assert shown["SYMBOLS"].endswith("DOTUSDT,okx:BTC-USDT,okx:ETH-USDT")
    assert Settings.from_environment(shown).symbols[0] == "BTCUSDT"
    for given in ({"SYMBOLS": "BTCUSDT"}, {"NT_EXCHANGE_WS_URL": "ws://x", "NT_EXCHANGE_REST_URL": "http://x"}):
        assert with_second_venue(given) == given


def test_all_roles_are_told_this_stacks_addresses_and_none_anothers_name() -> None:
    given = {"NT_NODE_ID": "mine", "NT_METRICS_PORT": "1", "REDIS_URL": "redis://elsewhere", "NT_LOG_LEVEL": "DEBUG"}
    given |= {"NT_REDIS_PASSWORD_FILE": "/elsewhere", "NT_BROKER_PASSWORD_FILE": "/elsewhere"}
    assert stack_environment(given, PORTS) == {
        "REDIS_URL": "redis://127.0.0.1:7001/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:7001/1",
        "NT_EXCHANGE_WS_URL": "ws://127.0.0.1:7002",
        "NT_EXCHANGE_REST_URL": "http://127.0.0.1:7002",
        "NT_VENUE_URLS": "okx.ws=ws://127.0.0.1:7002,okx.rest=http://127.0.0.1:7002,kraken.ws=ws://127.0.0.1:7002/kraken",
        "NT_LOG_LEVEL": "DEBUG",
        "NT_WEB_LINKS": "Flower=http://127.0.0.1:7003",
        "PYTHONUNBUFFERED": "1",
        "no_proxy": "127.0.0.1",
    }


def test_another_exchange_is_left_alone() -> None:
    environment = stack_environment({"NT_EXCHANGE_WS_URL": "wss://other"}, PORTS)
    assert environment["NT_EXCHANGE_WS_URL"] == "wss://other"
    assert "NT_EXCHANGE_REST_URL" not in environment
    assert "simulator" not in roles(simulate=False)
