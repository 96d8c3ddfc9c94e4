"""What each role must not do in Redis is refused, by a server that has loaded the access list of a deployment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError

from tests.deploy.acl_redis import AclRedis
from tickfence.alerts.firing import Firing
from tickfence.alerts.ledger import Ledger
from tickfence.cli import symbols_view
from tickfence.cli.operate import change
from tickfence.cli.request import symbols_request
from tickfence.cli.stored import NotAllowed
from tickfence.cli.waiting import look
from tickfence.coordination.desired import seed
from tickfence.coordination.desired_store import seed_desired
from tickfence.instrument import Instrument
from tickfence.readers.reader import Reader, Reports
from tickfence.settings import Settings

ROLES = ("alerts", "ingest", "recorder", "node", "batch", "beat", "flower", "web", "operator")

WRITERS = {
    "md:{BTCUSDT}:trades": {"ingest"},
    "md:{BTCUSDT}:snapshot": {"ingest"},
    "md:{BTCUSDT}:recording": {"ingest", "recorder"},
    "md:{toy:BTC/USD}:writer": {"ingest"},
    "report:BTCUSDT": {"node", "beat"},  # beat deletes those of removed symbols
    "slow:{report:BTCUSDT}": {"node", "beat"},
    "carry:{report:BTCUSDT}": {"node", "beat"},
    "history:{report:BTCUSDT}": {"node", "beat"},
    "basis:{report:BTCUSDT}": {"node", "beat"},
    "lease:{report:BTCUSDT}": {"node", "beat"},
    "nt:nodes": {"node", "beat"},
    "nt:node:node-001": {"node"},
    "nt:events": {"node", "beat"},
    "nt:events:recording": {"recorder"},
    "nt:{alerts}:firings": {"alerts"},
    "nt:{alerts}:lease": {"alerts"},
    "nt:recorders": {"recorder"},
    "nt:recorder:recorder-1": {"recorder"},
    "nt:batch-workers": {"batch"},
    "nt:batch:{1}:result:BTCUSDT": {"batch"},
    "nt:dispatcher": {"beat"},
    "nt:assignment": {"beat"},
    "nt:desired": {"beat", "operator"},
    "node-001": {"node", "beat"},
    "node-001.batch": {"node", "batch", "beat"},
    "single": {"node", "beat"},
    "celery": set(),
    "anything": set(),
}
"""Key -> who may write it."""

WRITES = {
    "SET": ("1",),
    "HSET": ("f", "1"),
    "XADD": ("*", "f", "1"),
    "ZADD": ("1", "m"),
    "ZREM": ("m",),
    "SADD": ("m",),
    "LPUSH": ("m",),
    "DEL": (),
    "UNLINK": (),
    "EXPIRE": ("1",),
    "PEXPIRE": ("1",),
    "RENAME": ("other",),
    "XTRIM": ("MAXLEN", "0"),
    "GETDEL": (),
}

READERS = {
    "md:{BTCUSDT}:trades": {"ingest", "recorder", "node", "web", "operator"},
    "report:BTCUSDT": {"alerts", "node", "beat", "web", "operator"},
    "history:{report:BTCUSDT}": {"recorder", "node", "beat", "web", "operator"},
    "nt:batch:{1}": {"batch", "web", "operator", "recorder"},
    "nt:assignment": {"alerts", "beat", "web", "operator"},
    "nt:dispatcher": {"alerts", "beat", "web", "operator"},
    "nt:desired": {"alerts", "ingest", "recorder", "beat", "web", "operator"},
    "node-001": {"node", "beat", "flower"},
    "single": {"node", "beat", "flower"},
    "anything": set(),
}

ADMINS_OWN = [
    ("CONFIG", "GET", "*"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("MONITOR",),
    ("SHUTDOWN",),
    ("REPLICAOF", "no", "one"),
    ("ACL", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("CLIENT", "PAUSE", "1000"),
    ("SCRIPT", "FLUSH"),
    ("SCRIPT", "KILL"),
    ("FUNCTION", "FLUSH"),
    ("DEBUG", "SLEEP", "1"),
    ("SWAPDB", "0", "1"),
    ("INFO",),
]


@pytest.fixture(scope="module")
def admin(acl_redis: AclRedis) -> Iterator[redis.Redis]:
    with acl_redis.client("admin") as client:
        yield client


def allowed(admin: redis.Redis, role: str, *words: str) -> bool:
    """Whether the server would let a role do this."""
    verdict = admin.execute_command("ACL", "DRYRUN", role, *words)
    assert verdict == b"OK" or b"has no permissions" in verdict, verdict
    return bool(verdict == b"OK")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_its_own_keys_only(admin: redis.Redis, role: str) -> None:
    wrong = []
    for key, writers in WRITERS.items():
        does = [name for name, rest in WRITES.items() if allowed(admin, role, name, key, *rest)]
        if bool(does) != (role in writers):
            wrong.append(f"{key}: {does or 'nothing'}")
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_it_needs_only(admin: redis.Redis, role: str) -> None:
    reads = ("GET", "HGETALL", "HMGET f", "XREVRANGE + -", "LLEN")
    for key, readers in READERS.items():
        does = [read for read in reads if allowed(admin, role, *(w := read.split())[:1], key, *w[1:])]
        assert bool(does) == (role in readers), f"{key}: {does}"


@pytest.mark.parametrize("role", ROLES)
def test_what_is_the_admins_is_refused(admin: redis.Redis, role: str) -> None:
    assert [" ".join(words) for words in ADMINS_OWN if allowed(admin, role, *words)] == []
    assert all(allowed(admin, "admin", *words) for words in ADMINS_OWN)


def test_web_has_no_writing_command_and_no_key_to_write(admin: redis.Redis) -> None:
    changing = set(admin.acl_cat("write")) | {"eval", "evalsha", "fcall", "publish", "spublish"}
    assert {"set", "xadd", "del"} < changing
    user = admin.acl_getuser("web")
    granted = {name.removeprefix("+") for name in user["commands"] if name.startswith("+")}
    assert {"get", "xread"} < granted
    assert granted & changing == set()
    assert [name for name in user["categories"] if name.startswith("+")] == ["+@connection"]
    assert all(pattern.startswith("%R~") for pattern in user["keys"])


@pytest.mark.parametrize(
    ("role", "script"),
    [
        ("node", "return redis.call('HSET', 'nt:assignment', 'BTCUSDT', 'node-001/x')"),
        ("node", "return redis.call('SET', 'md:{BTCUSDT}:snapshot', '{}')"),
        ("ingest", "return redis.call('SET', 'report:BTCUSDT', '{}')"),
        ("ingest", "return redis.call('HSET', 'lease:{report:BTCUSDT}', 'token', '9')"),
        ("recorder", "return redis.call('XADD', 'md:{BTCUSDT}:trades', '*', 'p', '1')"),
        ("recorder", "return redis.call('DEL', 'history:{report:BTCUSDT}')"),
        ("batch", "return redis.call('SET', 'report:BTCUSDT', '{}')"),
        ("beat", "return redis.call('HSET', 'nt:node:node-001', 'left', '1')"),
        ("operator", "return redis.call('HSET', 'nt:assignment', 'BTCUSDT', 'node-001/x')"),
        ("operator", "return redis.call('DEL', 'report:BTCUSDT')"),
        ("alerts", "return redis.call('DEL', 'report:BTCUSDT')"),
    ],
)
def test_a_script_does_not_get_round_it(acl_redis: AclRedis, admin: redis.Redis, role: str, script: str) -> None:
    with (
        acl_redis.client(role) as client,
        pytest.raises(redis.ResponseError, match=r"NOPERM|The user executing the script"),
    ):
        client.eval(script, 0)
    assert admin.dbsize() == 0


@pytest.mark.parametrize("role", ROLES)
def test_a_real_connection_is_refused_what_is_not_its_own(acl_redis: AclRedis, role: str) -> None:
    with acl_redis.client(role) as client, pytest.raises(NoPermissionError):
        client.set("anything", 1)


def test_nobody_gets_in_without_a_password(acl_redis: AclRedis) -> None:
    with redis.Redis(port=acl_redis.port) as nobody, pytest.raises(AuthenticationError):
        nobody.ping()
    guessing = redis.Redis(port=acl_redis.port, username="node", password="wrong", retry=None)
    with guessing, pytest.raises(AuthenticationError):
        guessing.ping()


def test_the_health_check_can_ping_and_nothing_else(acl_redis: AclRedis) -> None:
    with acl_redis.client("health") as health:
        assert health.ping()
        with pytest.raises(NoPermissionError):
            health.get("report:BTCUSDT")


def test_the_operator_changes_the_desired_state_and_web_may_only_look(acl_redis: AclRedis, admin: redis.Redis) -> None:
    settings = Settings.from_environment({"REDIS_URL": f"redis://web@127.0.0.1:{acl_redis.port}/0"})
    bitcoin, ether = Instrument("BTCUSDT"), Instrument("ETHUSDT")
    seed_desired(admin, settings.keys, seed([bitcoin]), "beat-1")
    request = symbols_request("add", [ether])
    try:
        with acl_redis.client("web") as web, pytest.raises(NotAllowed, match="the user web may not change nt:desired"):
            change(web, settings, request, "ann")
        with acl_redis.client("operator") as operator:
            done = change(operator, settings, request, "ann")
            seen = look(operator, settings, done.desired.symbols)  # what --wait reads
        assert seen.cluster.desired is not None and seen.cluster.desired.active == (bitcoin, ether)
        with acl_redis.client("web") as web:
            assert symbols_view.read(web, settings).data["version"] == done.version
    finally:
        admin.delete(settings.keys.desired)


def test_alerts_read_reports_and_keep_firings_under_it(acl_redis: AclRedis) -> None:
    password = (acl_redis.secrets / "redis-alerts").read_text().strip()
    url = f"redis://alerts:{password}@127.0.0.1:{acl_redis.port}/0"

    async def reports() -> Reports:
        reader = Reader(Settings.from_environment({"REDIS_URL": url, "SYMBOLS": "BTCUSDT"}))
        try:
            return await reader.all_reports()
        finally:
            await reader.close()

    assert "BTCUSDT" in asyncio.run(reports()).asked
    firing = Firing("wide/BTCUSDT/1", "wide", "BTCUSDT", 1, 1, 2.5, [])
    with acl_redis.client("alerts") as client:
        one = Ledger(client, Settings.from_environment({}).keys, "alerts/1", 60_000)
        assert one.hold(time.monotonic())
        assert one.write([firing], time.monotonic())
        firing.end(2, [])
        assert one.write([firing], time.monotonic())
        one.give_back()
