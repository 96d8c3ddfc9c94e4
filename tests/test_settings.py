"""Settings: what is accepted, and the one line that says what is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence import settings
from tickfence.instrument import PATTERN
from tickfence.settings import BadSetting, Settings
from tools.reference import configuration

ROOT = Path(settings.__file__).parents[1]


def test_every_variable_is_optional() -> None:
    defaults = Settings.from_environment({})
    assert defaults.symbols == ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT")
    assert (defaults.nt_report_period_ms, defaults.nt_heartbeat_ttl_ms, defaults.nt_metrics_port) == (250, 1000, None)


def test_an_empty_value_is_no_value() -> None:
    assert Settings.from_environment({"NT_REPORT_PERIOD_MS": "", "SYMBOLS": ""}) == Settings.from_environment({})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("YES", True), ("off", False), ("0", False)])
def test_flags(text: str, value: bool) -> None:
    assert Settings.from_environment({"NT_ENABLE_MULTI_INSTANCE": text}).nt_enable_multi_instance is value


@given(st.lists(st.from_regex(PATTERN, fullmatch=True), min_size=1, max_size=5, unique=True))
def test_symbols_are_a_comma_separated_list(names: list[str]) -> None:
    assert Settings.from_environment({"SYMBOLS": " , ".join(names) + ","}).symbols == tuple(names)


BAD = [
    ("SYMBOLS", "btcusdt", "2 to 20 capital letters or digits"),
    ("SYMBOLS", "BTCUSDT,X", "2 to 20 capital letters or digits"),
    ("SYMBOLS", "BTCUSDT,ETH/USDT", "2 to 20 capital letters or digits"),
    ("SYMBOLS", "A" * 21, "2 to 20 capital letters or digits"),
    ("SYMBOLS", "币安人生usdt", "2 to 20 capital letters or digits"),
    ("SYMBOLS", "币 安USDT", "2 to 20 capital letters or digits"),
    ("SYMBOLS", "币安\uff0c人生USDT", "2 to 20 capital letters or digits"),
    ("SYMBOLS", " , ", "comma-separated list of at least one symbol"),
    ("SYMBOLS", "BTCUSDT,ETHUSDT,BTCUSDT", "list each symbol once"),
    ("REDIS_URL", "localhost:6379", "starts with redis://, rediss://, redis+sentinel://"),
    ("REDIS_URL", "unix:///run/redis.sock", "starts with redis://, rediss://, redis+sentinel://"),
    ("REDIS_URL", "redis://localhost:abc/0", "look like redis://[user:password@]host[:port][/db]"),
    ("REDIS_URL", "redis://localhost:65536/0", "look like redis://"),
    ("REDIS_URL", "redis://localhost/zero", "look like redis://"),
    ("REDIS_URL", "redis+sentinel://h:abc/mymaster", "look like redis+sentinel://"),
    ("REDIS_URL", "redis+cluster://h:6379/0", "look like redis+cluster://"),
    ("CELERY_BROKER_URL", "redis://localhost:0/1", "look like redis://"),
    ("CELERY_BROKER_URL", "rediss://localhost/1?ssl_cert_reqs=some", "look like rediss://"),
    ("REDIS_URL", "redis://", "starts with redis://"),
    (
        "CELERY_BROKER_URL",
        "sqs://localhost",
        "starts with redis://, rediss://, redis+sentinel://, sentinel://, amqp://,",
    ),
    ("CELERY_BROKER_URL", "redis+cluster://localhost:7000", "starts with redis://"),
    ("CELERY_BROKER_URL", "amqp://localhost:0", "look like amqp://[user:password@]host[:port][/vhost]"),
    ("CELERY_BROKER_URL", "amqps://localhost?ssl_cert_reqs=some", "look like amqps://"),
    ("REDIS_URL", "amqp://localhost", "starts with redis://"),
    ("NT_EXCHANGE_WS_URL", "http://localhost", "starts with ws://, wss://"),
    ("NT_EXCHANGE_REST_URL", "ftp://localhost", "starts with http://, https://"),
    ("NT_VENUE_URLS", "okx.ws=http://localhost", "venue.ws=URL or venue.rest=URL"),
    ("NT_VENUE_URLS", "okx=ws://localhost", "like okx.ws=wss://host"),
    ("NT_VENUE_URLS", "okx.ws=ws://localhost,", "like okx.ws=wss://host"),
    ("NT_VENUE_URLS", "binance.ws=ws://localhost", "binance has NT_EXCHANGE_WS_URL"),
    ("NT_INGEST_VENUES", "okx,OKX", "a comma-separated list of venues, like binance,okx"),
    ("NT_REDIS_PASSWORD_FILE", "secrets/redis-node", "an absolute path"),
    ("NT_NAME", "beat 1", "[A-Za-z0-9._-]{1,64}, like beat-1"),
    ("NT_NODE_ID", "node 1", "[A-Za-z0-9._-]{1,64}"),
    ("NT_NODE_ID", "n" * 65, "[A-Za-z0-9._-]{1,64}"),
    ("NT_ENABLE_MULTI_INSTANCE", "maybe", "one of true, false, 1, 0, yes, no, on, off"),
    ("NT_ENABLE_KV_REPORTS", "2", "one of true, false"),
    ("NT_REPORT_PERIOD_MS", "fast", "whole number"),
    ("NT_REPORT_PERIOD_MS", "250.5", "whole number"),
    ("NT_REPORT_PERIOD_MS", "19", "greater than or equal to 20"),
    ("NT_REPORT_TTL_S", "0", "greater than or equal to 1"),
    ("NT_SNAPSHOT_INTERVAL_MS", "150001", "less than or equal to 150000"),
    ("NT_NODE_WEIGHT", "0", "greater than 0"),
    ("NT_NODE_WEIGHT", "nan", "finite number"),
    ("NT_HRW_LOAD_FACTOR", "0.9", "greater than or equal to 1"),
    ("NT_HRW_STICKY_PCT", "two", "number"),
    ("NT_HEARTBEAT_TTL_MS", "499", "two heartbeats (NT_HEARTBEAT_INTERVAL_MS=250), that is 500 or more"),
    ("NT_LEASE_TTL_MS", "400", "two report periods (NT_REPORT_PERIOD_MS=250), that is 500 or more"),
    ("NT_SLOW_PERIOD_MS", "200", "one report period (NT_REPORT_PERIOD_MS=250), that is 250 or more"),
    ("NT_WEB_ALLOWED_HOSTS", "reports.example:8000", "host names or addresses without a port"),
    ("NT_WEB_LINKS", "Flower=javascript:alert(1)", "a URL that starts with http:// or https://"),
    ("NT_WEB_ALLOWED_HOSTS", "a b", "host names or addresses without a port"),
    ("NT_WEB_TOKEN_FILE", "secrets/web", "an absolute path"),
    ("NT_WEB_MAX_STREAMS", "0", "greater than or equal to 1"),
    ("NT_METRICS_PORT", "65536", "less than or equal to 65535"),
    ("NT_METRICS_PORT", "-1", "greater than or equal to 0"),
    ("NT_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
]


@pytest.mark.parametrize(("variable", "value", "accepted"), BAD)
def test_a_bad_value_is_one_line_with_variable_value_and_what_is_accepted(
    variable: str, value: str, accepted: str
) -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({variable: value})
    line = str(raised.value)
    assert line.startswith(f"{variable}={value}: ")
    assert accepted in line
    assert "\n" not in line


@pytest.mark.parametrize("variable", ["REDIS_URL", "CELERY_BROKER_URL"])
def test_a_refused_url_shows_no_password(variable: str) -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({variable: "redis://ann:secret@localhost/zero"})
    assert str(raised.value).startswith(f"{variable}=redis://ann:***@localhost/zero: must look like redis://")


def test_a_refused_amqp_url_shows_no_password() -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"CELERY_BROKER_URL": "amqp://ann:sec/ret@localhost/a/b"})
    assert str(raised.value).startswith("CELERY_BROKER_URL=amqp://ann:***@localhost/a/b: must look like amqp://")


@pytest.mark.parametrize(
    ("url", "composed"),
    [
        ("redis://node@redis:6379/0", "redis://node:p%3Aa%2Fs%40s@redis:6379/0"),
        ("redis://localhost", "redis://:p%3Aa%2Fs%40s@localhost"),
        (
            "redis+sentinel://node@10.0.0.1:26379,10.0.0.2:26379/mymaster/1",
            "redis+sentinel://node:p%3Aa%2Fs%40s@10.0.0.1:26379,10.0.0.2:26379/mymaster/1",
        ),
    ],
)
@pytest.mark.parametrize(
    ("of_url", "file"),
    [("REDIS_URL", "NT_REDIS_PASSWORD_FILE"), ("CELERY_BROKER_URL", "NT_BROKER_PASSWORD_FILE")],
)
def test_a_password_may_stand_in_a_file(tmp_path: Path, of_url: str, file: str, url: str, composed: str) -> None:
    path = tmp_path / "password"
    path.write_text("p:a/s@s\n")
    settings = Settings.from_environment({of_url: url, file: str(path)})
    assert getattr(settings, of_url.lower()) == composed
    other = "celery_broker_url" if of_url == "REDIS_URL" else "redis_url"
    assert getattr(settings, other) == Settings.model_fields[other].default


def test_a_password_for_rabbitmq_may_stand_in_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    given = {"CELERY_BROKER_URL": "amqp://ann@rabbit/ticks", "NT_BROKER_PASSWORD_FILE": str(path)}
    assert Settings.from_environment(given).celery_broker_url == "amqp://ann:secret@rabbit/ticks"


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        (None, "must be a file that can be read: No such file or directory"),
        (b"", "must hold the password in one line; it has 0 lines"),
        (b"\n", "must hold the password in one line; it has 1 lines"),
        (b"one\ntwo\n", "must hold the password in one line; it has 2 lines"),
        (b"\xff\xfe\n", "must be a file that can be read: it is not UTF-8 text"),
    ],
)
def test_a_password_file_that_cannot_serve_is_one_line(tmp_path: Path, content: bytes | None, accepted: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"NT_REDIS_PASSWORD_FILE": str(path)})
    assert str(raised.value) == f"NT_REDIS_PASSWORD_FILE={path}: {accepted}"


def test_a_password_stands_in_one_place_only(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("other")
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"REDIS_URL": "redis://ann:secret@redis", "NT_REDIS_PASSWORD_FILE": str(path)})
    line = f"REDIS_URL=redis://ann:***@redis: must not hold a password beside NT_REDIS_PASSWORD_FILE={path}"
    assert str(raised.value) == line


@pytest.mark.parametrize("value", ["short", "has a space in it, so what", "é" * 20, "x" * 257])
def test_a_token_that_is_refused_is_not_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"NT_WEB_TOKEN": value})
    assert str(raised.value).startswith("NT_WEB_TOKEN=***: must have 16 to 256 letters, digits or ")
    path = tmp_path / "token"
    path.write_text(value)
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"NT_WEB_TOKEN_FILE": str(path)})
    assert str(raised.value).startswith(f"NT_WEB_TOKEN_FILE={path}: what it holds must have 16 to 256 letters, ")
    assert value not in str(raised.value)


def test_a_token_may_stand_in_a_file_and_there_only(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-token-of-some-length\n")
    assert Settings.from_environment({"NT_WEB_TOKEN_FILE": str(path)}).nt_web_token == "a-token-of-some-length"
    with pytest.raises(BadSetting) as raised:
        Settings.from_environment({"NT_WEB_TOKEN_FILE": str(path), "NT_WEB_TOKEN": "another-of-some-length"})
    assert str(raised.value) == f"NT_WEB_TOKEN_FILE={path}: must not be set beside NT_WEB_TOKEN"


def test_the_heartbeat_ttl_may_be_just_two_heartbeats() -> None:
    environment = {"NT_HEARTBEAT_INTERVAL_MS": "300", "NT_HEARTBEAT_TTL_MS": "600"}
    assert Settings.from_environment(environment).nt_heartbeat_ttl_ms == 600


def load_in_a_process(load: str = "load", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"from tickfence import settings; print(settings.{load}().nt_report_period_ms)"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("NT_")} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_with_a_bad_value_ends_with_status_2_and_one_line() -> None:
    ended = load_in_a_process(NT_REPORT_PERIOD_MS="soon")
    assert ended.returncode == 2
    assert ended.stderr == "error: NT_REPORT_PERIOD_MS=soon: must be a whole number\n"
    assert ended.stdout == ""


def test_a_reader_ignores_the_variables_that_it_does_not_use() -> None:
    foreign = {"CELERY_BROKER_URL": "sqs://", "NT_BROKER_PASSWORD_FILE": "/nowhere"}
    ended = load_in_a_process("load_for_reader", **foreign)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "250\n", "")
    assert load_in_a_process(**foreign).returncode == 2


def test_a_reader_warns_of_symbols_that_it_cannot_use_and_refuses_what_it_does_use() -> None:
    ended = load_in_a_process("load_for_reader", SYMBOLS="foo/bar")
    assert (ended.returncode, ended.stdout) == (0, "250\n")
    assert ended.stderr.startswith("warning: SYMBOLS=foo/bar: symbol 'foo/bar' must be 2 to 20 ")
    assert ended.stderr.endswith("; it is ignored\n")
    assert load_in_a_process("load_for_reader", REDIS_URL="sqs://").returncode == 2


def test_an_unknown_variable_is_warned_about_with_the_nearest_name() -> None:
    ended = load_in_a_process(NT_REPORT_PERIOD="100", NT_REPORT_PERIOD_MS="300")
    assert (ended.returncode, ended.stdout) == (0, "300\n")
    assert (
        ended.stderr == "warning: NT_REPORT_PERIOD is not a setting and is ignored; did you mean NT_REPORT_PERIOD_MS?\n"
    )


def test_the_page_of_settings_is_in_step() -> None:
    assert configuration.PAGE.read_text() == configuration.page(), "run: make reference"


def test_every_variable_that_anything_reads_is_on_the_page() -> None:
    by_code = r'environ(?:\.get\(|\[)"(\w+)"'
    by_shell = r"\$\{(\w+):-"
    files = [
        *ROOT.glob("*.py"),
        *ROOT.glob("tools/local/*.py"),
        *ROOT.glob("tools/local/*.sh"),
        ROOT / "docker-compose.yml",
    ]
    read = {name for file in files for pair in re.findall(f"{by_code}|{by_shell}", file.read_text()) for name in pair}
    page = configuration.PAGE.read_text()
    assert {"FLOWER_MAX_TASKS", "PYTHON", "WEB_PORT"} <= read
    assert [
        name for name in sorted(read - {"", "PARENT_PID"}) if f"`{name}`" not in page
    ] == []  # PARENT_PID: set by a tool for itself


def test_a_variable_that_is_set_but_empty_counts_as_not_set() -> None:
    empty = {name.upper(): "" for name in Settings.model_fields}
    code = "from tickfence import settings; print(settings.load() == settings.Settings.from_environment({}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **empty}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
