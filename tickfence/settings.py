"""The environment as one typed, validated object.

Every variable is optional. An invalid value ends the process with one line that names the variable, the value and what
is accepted:

    >>> Settings.from_environment({"NT_HEARTBEAT_TTL_MS": "300"})
    Traceback (most recent call last):
    settings.BadSetting: NT_HEARTBEAT_TTL_MS=300: must be at least two heartbeats, ...
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tickfence.amqp_address import AMQP_SCHEMES, parse_amqp
from tickfence.instrument import DEFAULT_VENUE, Instrument, parse_instrument
from tickfence.keys import Keys
from tickfence.redis_access.address import (
    CLUSTER_SCHEMES,
    SENTINEL_SCHEMES,
    SINGLE_SCHEMES,
    check_server,
    masked,
    parse_cluster,
    parse_sentinel,
    with_password,
)

NAMESPACE = re.compile(r"[A-Za-z0-9._-]{1,32}")
NODE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
SHARD = re.compile(r"[1-9][0-9]?/[1-9][0-9]?")
VENUE = re.compile(r"[a-z][a-z0-9]{0,19}")
HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\]")

_WITH_PASSWORD = ("REDIS_URL", "CELERY_BROKER_URL")
_PASSWORD_FILES = {"nt_redis_password_file": "redis_url", "nt_broker_password_file": "celery_broker_url"}
_SECRET = ("NT_WEB_TOKEN",)
_NOT_READ_BY_READERS = ("CELERY_BROKER_URL", "NT_BROKER_PASSWORD_FILE")
_VENUE_SCHEMES = {"ws": ("ws", "wss"), "rest": ("http", "https")}
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


WHERE = "Settings come from environment variables: see docs/configuration.md."
"""For the help of roles that take no options."""


class BadSetting(ValueError):
    """A variable whose value is not accepted. Its text is the one line to show."""


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ValueError("must be one of true, false, 1, 0, yes, no, on, off")
    return flag


def _listed(value: object) -> object:
    return [s.strip() for s in value.split(",") if s.strip()] if isinstance(value, str) else value


def _symbols(value: object) -> object:
    names = _listed(value)
    if not isinstance(names, list | tuple) or not names:
        raise ValueError("must be a comma-separated list of at least one symbol, like BTCUSDT,ETHUSDT")
    symbol, times = Counter(map(parse_instrument, names)).most_common(1)[0]
    if times > 1:
        raise ValueError(f"symbol {symbol} is listed twice; list each symbol once")
    return tuple(names)


def _hosts(value: object) -> object:
    names = _listed(value)
    if not isinstance(names, list | tuple) or not all(HOST.fullmatch(name) for name in names):
        raise ValueError(
            "must be a comma-separated list of host names or addresses without a port, like reports.example"
        )
    return tuple(names)


def _venues(value: object) -> object:
    names = _listed(value)
    if not isinstance(names, list | tuple) or not all(VENUE.fullmatch(name) for name in names):
        raise ValueError("must be a comma-separated list of venues, like binance,okx")
    return tuple(names)


def _venue_urls(value: object) -> object:
    if isinstance(value, dict):
        return value
    urls: dict[str, str] = {}
    for each in str(value).split(","):
        name, _, url = each.strip().partition("=")
        part, _, kind = name.rpartition(".")
        venue, _, exchange = part.partition(".")
        schemes = _VENUE_SCHEMES.get(kind, ())
        if venue == DEFAULT_VENUE:
            raise ValueError(f"must name other venues: {venue} has NT_EXCHANGE_WS_URL and NT_EXCHANGE_REST_URL")
        named = VENUE.fullmatch(venue) and (exchange.isalnum() or part == venue)
        if not named or url.partition("://")[0] not in schemes or not url.partition("://")[2]:
            raise ValueError(
                "must be a comma-separated list of venue.ws=URL or venue.rest=URL with a URL that starts with "
                "ws://, wss:// or http://, https://, like okx.ws=wss://host or ccxt.bitstamp.ws=wss://host"
            )
        urls[name] = url
    return urls


def _links(value: object) -> object:
    if isinstance(value, dict):
        return value
    links: dict[str, str] = {}
    for each in filter(None, map(str.strip, str(value).split(","))):
        name, _, url = each.partition("=")
        if not name.strip().isprintable() or not name.strip() or not re.match(r"https?://[^\s/]", url.strip()):
            raise ValueError(
                "must be a comma-separated list of name=URL with a URL that starts with http:// or https://, "
                "like Flower=http://localhost:5555,Grafana=https://grafana.example"
            )
        links[name.strip()] = url.strip()
    return links


def _matches(pattern: re.Pattern[str], accepted: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value and not pattern.fullmatch(value):
            raise ValueError(f"must {accepted}")
        return value

    return check


def _off_or_at_least(least: int) -> Callable[[int], int]:
    def check(value: int) -> int:
        if 0 < value < least:
            raise ValueError(f"must be 0 (off) or at least {least}")
        return value

    return check


def _shard(value: str) -> str:
    number, _, count = value.partition("/")
    if value and not (SHARD.fullmatch(value) and int(number) <= int(count)):
        raise ValueError("must be i/n, the i-th of n parts of the symbols with n at most 99, like 1/2")
    return value


_namespace = _matches(NAMESPACE, f"match {NAMESPACE.pattern}, like staging")
_name = _matches(NODE_ID, f"match {NODE_ID.pattern}, like beat-1")
_node_id = _matches(NODE_ID, f"match {NODE_ID.pattern}, like node-001")
_path = _matches(re.compile("/.*", re.DOTALL), "be an absolute path, like /run/secrets/redis-node")
_token = _matches(TOKEN, "have 16 to 256 letters, digits or -._~+/= (RFC 6750), like that of: openssl rand -hex 32")


def _url(*schemes: str) -> AfterValidator:
    accepted = ", ".join(f"{s}://" for s in schemes)

    def check(value: str) -> str:
        scheme, separator, rest = value.partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must be a URL that starts with {accepted}")
        return value

    return AfterValidator(check)


def _server(value: str) -> str:
    for check in (check_server, parse_sentinel, parse_cluster, parse_amqp):
        check(value)
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]


class Settings(BaseModel):
    """The settings of a process, from its environment.

    A field has its variable's name in lower case. The name of a duration ends with its unit (``_ms``, ``_s``).
    """

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    symbols: Annotated[tuple[Instrument, ...], BeforeValidator(_symbols)] = tuple(
        map(Instrument, ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "ADAUSDT", "DOTUSDT"))
    )
    """Symbols to report on, comma-separated. Only the start: the first leading beat stores them, and operators change what is stored."""
    redis_url: Annotated[str, _url(*SINGLE_SCHEMES, *SENTINEL_SCHEMES, *CLUSTER_SCHEMES), AfterValidator(_server)] = (
        "redis://localhost:6379/0"
    )
    """The Redis of the data plane: streams, leases, reports."""
    celery_broker_url: Annotated[
        str, _url(*SINGLE_SCHEMES, *SENTINEL_SCHEMES, *AMQP_SCHEMES), AfterValidator(_server)
    ] = "redis://localhost:6379/1"
    """Celery's broker: Redis or RabbitMQ. It may be another server than REDIS_URL."""

    nt_namespace: Annotated[str, AfterValidator(_namespace)] = ""
    """Prefix of every key, followed by a colon. Deployments that share a Redis need different ones."""
    nt_redis_password_file: Annotated[str, AfterValidator(_path)] = ""
    """File with the password of REDIS_URL's user on a single line. The URL then has no password."""
    nt_broker_password_file: Annotated[str, AfterValidator(_path)] = ""
    """The same for CELERY_BROKER_URL."""

    nt_node_id: Annotated[str, AfterValidator(_node_id)] = ""
    """The worker's node id, and the queue it must consume. Default: the queue given with -Q."""
    nt_node_weight: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False)
    """The node's share of the symbols, relative to other nodes, unless an operator has set another."""
    nt_name: Annotated[str, AfterValidator(_name)] = ""
    """What operators call this beat or ingest, like beat-1: shown by the page, the commands, the log and CLIENT LIST. Default: role and host, like beat@host-1. A node's name is its node id."""
    nt_enable_multi_instance: Flag = True
    """Several nodes share the symbols. Off: one node, without leases and fencing."""
    nt_enable_kv_reports: Flag = True
    """Write reports. Off: ingest only."""

    nt_report_period_ms: int = Field(250, ge=20, le=60_000)
    """Fast cycle: time between two reports of a symbol."""
    nt_slow_period_ms: int = Field(2000, ge=100, le=600_000)
    """Slow cycle: time between two computations of volume profile, walls, vacuums and anomalies."""
    nt_report_ttl_s: int = Field(300, ge=1, le=86_400)
    """A report expires if it is not rewritten for this long."""
    nt_history_interval_ms: int = Field(1000, ge=100, le=600_000)
    """Least time between two rows of a symbol's history."""
    nt_history_minutes: int = Field(60, ge=0, le=1440)
    """How long history is kept in Redis: rows are trimmed by their number. 0 turns it off."""
    nt_max_tasks_per_cycle: int = Field(32, ge=1, le=10_000)
    """Maximum number of messages to a node per cycle. With more symbols, several share a message."""

    nt_dispatch_shards: int = Field(1, ge=1, le=64)
    """Into how many shards the symbols are split for dispatch: the live beats share them, and each sends for its own. 1: the leading beat sends everything. The leading beat's value counts."""

    nt_heartbeat_interval_ms: int = Field(250, ge=20, le=60_000)
    """Time between two heartbeats of a node, with 10 % jitter."""
    nt_heartbeat_ttl_ms: int = Field(1000, ge=40, le=600_000)
    """A node without an accepted heartbeat for this long is dead."""
    nt_stuck_after_ms: int = Field(1500, ge=100, le=600_000)
    """A node that is alive but takes none of the messages that wait for it, for this long, is stuck: its symbols move."""
    nt_lease_ttl_ms: int = Field(1500, ge=40, le=600_000)
    """A lease that is not renewed ends after this long."""
    nt_hang_exit_s: Annotated[int, Field(ge=0, le=3600), AfterValidator(_off_or_at_least(5))] = 30
    """A node or beat whose main thread hangs for this long ends, with the stack of each thread in its log; 0 turns this off. Longer pauses from outside (SIGSTOP, docker pause) end it as well, when it goes on."""
    nt_leader_ttl_ms: int = Field(1000, ge=100, le=600_000)
    """A beat that does not renew its lead loses it after this long."""
    nt_rebalance_interval_ms: int = Field(2500, ge=100, le=600_000)
    """Minimum time between two moves of symbols for balance."""
    nt_min_hold_ms: int = Field(2000, ge=0, le=600_000)
    """Minimum time that a symbol stays on a node before it moves for balance."""
    nt_hrw_sticky_pct: float = Field(0.02, ge=0, le=1, allow_inf_nan=False)
    """Bonus on the current owner's score; 0.02 is 2 %."""
    nt_hrw_load_factor: float = Field(1.25, ge=1, le=100, allow_inf_nan=False)
    """Maximum number of fair shares that a node holds."""

    nt_exchange_ws_url: Annotated[str, _url("ws", "wss")] = "wss://stream.binance.com:9443"
    """Binance's WebSocket endpoint."""
    nt_exchange_rest_url: Annotated[str, _url("http", "https")] = "https://api.binance.com"
    """Binance's REST endpoint."""
    nt_venue_urls: Annotated[dict[str, str], BeforeValidator(_venue_urls)] = {}
    """Endpoints of other venues, comma-separated, like okx.ws=wss://host,okx.rest=https://host or ccxt.bitstamp.ws=wss://host. Default: each exchange's own."""
    nt_ingest_venues: Annotated[tuple[str, ...], BeforeValidator(_venues)] = ()
    """Venues whose symbols this ingest follows, comma-separated, like binance,okx. Default: all."""
    nt_snapshot_interval_ms: int = Field(5000, ge=100, le=150_000)
    """Time between two full order books of a symbol that ingest writes."""
    nt_audit_weight_share: float = Field(0.1, ge=0, le=0.5, allow_inf_nan=False)
    """Share of the exchange's REST weight that ingest uses to compare its order books with fresh snapshots; 0 turns it off."""
    nt_ingest_buffer_entries: int = Field(200_000, ge=100, le=50_000_000)
    """Maximum number of entries that ingest keeps while Redis is unreachable. Older ones are dropped and counted."""

    nt_ingest_shard: Annotated[str, AfterValidator(_shard)] = ""
    """Which part of the symbols this ingest follows, like 1/2 and 2/2 for two that share them. Default: all symbols."""

    nt_recordings: str = Field("recordings", min_length=1)
    """Recorded market data: a folder, or a URL that fsspec knows, like s3://bucket/recordings."""
    nt_recordings_days: int = Field(0, ge=0, le=36_500)
    """Recorders delete days of recordings that ended more than this many days ago; 0 keeps all."""
    nt_recorder_file_mb: int = Field(256, ge=1, le=100_000)
    """A file of recordings is closed when its parts have this many MB, or its hour is over."""
    nt_recorder_wal: str = Field("recorder-wal", min_length=1)
    """Local folder of a recorder's write-ahead log. Each recorder needs one of its own, on a disk that outlives the process."""

    nt_web_token: Annotated[str, AfterValidator(_token)] = ""
    """Bearer token that the HTTP API, its streams and the MCP server require. Default: none."""
    nt_web_token_file: Annotated[str, AfterValidator(_path)] = ""
    """File with NT_WEB_TOKEN on a single line."""
    nt_web_allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    """Host names that clients may use for the web server, comma-separated. Others are refused. Default: the names of loopback if it listens there, otherwise any."""
    nt_web_max_streams: int = Field(1000, ge=1, le=100_000)
    """Maximum number of open streams of the web server."""
    nt_web_links: Annotated[dict[str, str], BeforeValidator(_links)] = {}
    """Other pages that the live page links to, comma-separated, like Flower=http://localhost:5555,Grafana=https://grafana.example. Default: none."""

    nt_metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Prometheus port of this process; 0 turns it off. Default: 9101 for a node, 9111 for beat, 9121 for ingest, 9131 for a recorder."""
    nt_metrics_host: str = Field("127.0.0.1", min_length=1)
    """Address the metrics port listens on."""
    nt_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum severity of the log lines that are written."""

    @property
    def keys(self) -> Keys:
        """Every key of this deployment."""
        return Keys(self.nt_namespace)

    def process_name(self, role: str) -> str:
        """Return what operators call this process of ``role``: ``NT_NAME``, or role and host, like ``beat@host-1``."""
        return self.nt_name or f"{role}@{socket.gethostname()}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings from ``environment``.

        Raises:
            BadSetting: A value is not accepted. The text names the first one and what is accepted.
        """
        given = {
            name: environment[name.upper()] for name in cls.model_fields if environment.get(name.upper(), "") != ""
        }
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            variable = str(first["loc"][0]).upper()
            value = given[variable.lower()]
            shown = masked(value) if variable in _WITH_PASSWORD else "***" if variable in _SECRET else value
            raise BadSetting(f"{variable}={shown}: {_plain(first)}") from None
        settings._check_together()
        return settings._with_passwords()

    def _with_passwords(self) -> Settings:
        """The same settings, with the passwords from their files in the URLs."""
        urls: dict[str, str] = {}
        for name, of_url in _PASSWORD_FILES.items():
            path, url = getattr(self, name), getattr(self, of_url)
            if not path:
                continue
            password = _password(name.upper(), path)
            try:
                urls[of_url] = with_password(url, password)
            except ValueError as error:
                raise BadSetting(f"{of_url.upper()}={masked(url)}: {error} beside {name.upper()}={path}") from None
        return self.model_copy(update=urls | self._with_token())

    def _with_token(self) -> dict[str, str]:
        path = self.nt_web_token_file
        if not path:
            return {}
        if self.nt_web_token:
            raise BadSetting(f"NT_WEB_TOKEN_FILE={path}: must not be set beside NT_WEB_TOKEN")
        token = _password("NT_WEB_TOKEN_FILE", path)
        try:
            return {"nt_web_token": _token(token)}
        except ValueError as error:
            raise BadSetting(f"NT_WEB_TOKEN_FILE={path}: what it holds {error}") from None

    def _check_together(self) -> None:
        def at_least(variable: str, floor: int, reason: str) -> None:
            value = getattr(self, variable.lower())
            if value < floor:
                raise BadSetting(f"{variable}={value}: must be at least {reason}, that is {floor} or more")

        beat, period = self.nt_heartbeat_interval_ms, self.nt_report_period_ms
        at_least("NT_HEARTBEAT_TTL_MS", 2 * beat, f"two heartbeats (NT_HEARTBEAT_INTERVAL_MS={beat})")
        at_least("NT_LEASE_TTL_MS", 2 * period, f"two report periods (NT_REPORT_PERIOD_MS={period})")
        at_least("NT_SLOW_PERIOD_MS", period, f"one report period (NT_REPORT_PERIOD_MS={period})")


def _password(variable: str, path: str) -> str:
    """The one line of the file that a variable names."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSetting(f"{variable}={path}: must be a file that can be read: {reason}") from None
    if len(lines) != 1 or not lines[0]:
        raise BadSetting(f"{variable}={path}: must hold the password in one line; it has {len(lines)} lines")
    return lines[0]


def _plain(error: Any) -> str:
    """What is accepted, from one of pydantic's error records."""
    context, kind = error.get("ctx", {}), error["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind in ("int_parsing", "int_from_float"):
        return "must be a whole number"
    return str(error["msg"]).replace("Input should", "must").replace("Value should", "must")


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """One line for each unknown ``NT_*`` variable, with the most similar setting."""
    known = [name.upper() for name in Settings.model_fields]
    lines = []
    for name in sorted(environment):
        if name.startswith("NT_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(f"{name} is not a setting and is ignored" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


@cache
def load() -> Settings:
    """Return the process's settings, read once; a bad value ends the process with one line and status 2."""
    return _load(os.environ)


@cache
def load_for_reader() -> Settings:
    """Return the settings of a process that only reads: ``tickfence web``, ``tickfence mcp``, the commands of ``celery``.

    It does not use the broker, so it ignores the broker's variables, which may belong to another program. It ignores a
    ``SYMBOLS`` that it cannot use as well, with a warning: the assignment in Redis names the symbols.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_READ_BY_READERS}
    try:
        Settings.from_environment({"SYMBOLS": environment.get("SYMBOLS", "")})
    except BadSetting as error:
        del environment["SYMBOLS"]
        print(f"warning: {error}; it is ignored", file=sys.stderr)
    return _load(environment)


def _load(environment: Mapping[str, str]) -> Settings:
    for line in unknown_variables(environment):
        print(f"warning: {line}", file=sys.stderr)
    try:
        return Settings.from_environment(environment)
    except BadSetting as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
