"""The cluster's state: what is read, how it is judged, and that every reader gets the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from tickfence.coordination.desired import (
    Desired,
    NodeMode,
    fields,
    pause,
    remove,
    resume,
    seed,
    set_mode,
    set_weight,
)
from tickfence.coordination.owner import Owner
from tickfence.coordination.verdicts import Verdicts
from tickfence.instrument import Instrument
from tickfence.keys import Keys
from tickfence.readers.cluster import Cluster, Query, cluster_query, fetch_cluster, read_cluster
from tickfence.readers.data_plane import DataPlane, Unavailable, Unreadable
from tickfence.settings import Settings
from tools.local.embedded_redis import EmbeddedRedis

KEYS = Keys()
NOW, TTL = 1_700_000_000_000, 1000


def record(client_id: int = 0, **more: Any) -> dict[bytes, bytes]:
    registered = {"incarnation": "a", "client_id": client_id, "weight": 2, **more}
    return {name.encode(): str(value).encode() for name, value in registered.items()}


def stored(desired: Desired) -> dict[bytes, bytes]:
    """The hash of a desired state."""
    return {name.encode(): text.encode() for name, text in {**fields(desired), "version": "7"}.items()}


def answered(
    first: list[Any], *batches: list[Any], desired: Desired | None = None, connections: bool = True
) -> Cluster:
    """The state that these replies give, one batch a round trip."""
    steps = cluster_query(KEYS, TTL, connections=connections)
    query = next(steps)
    for batch in ([*first, stored(desired) if desired else {}], *batches):
        assert isinstance(query, Query) and len(query.commands) == len(batch), query
        query = steps.send((NOW, batch))
    assert isinstance(query, Cluster), f"there is more to ask: {query}"
    return query


def test_an_empty_redis() -> None:
    empty = answered([[], {}], [{}])
    assert (empty.nodes, empty.leader, empty.assignment.owners) == ([], None, {})
    assert empty.symbols(["BBUSDT", "AAUSDT"]) == ("BBUSDT", "AAUSDT")


@pytest.mark.parametrize(
    ("registered", "heartbeat_age_ms", "clients", "state"),
    [
        (record(), 999, None, "alive"),
        (record(), 1000, None, "silent"),
        (record(), None, None, "silent"),
        (record(left=1), 0, None, "left"),
        (record(7), 0, [{"id": "7"}], "alive"),
        (record(7), 0, [], "gone"),
        (record(7), 0, "refused", "alive"),
        (record(7, left=1), 0, [], "left"),
    ],
)
def test_the_state_of_a_node(
    registered: dict[bytes, bytes], heartbeat_age_ms: int | None, clients: Any, state: str
) -> None:
    scores = [] if heartbeat_age_ms is None else [(b"node-001", float(NOW - heartbeat_age_ms))]
    batches = [[scores, {b"AAUSDT": b"node-001/a", b"BBUSDT": b"node-001/other"}], [{}, registered]]
    if clients is not None:
        batches.append([None if clients == "refused" else clients])
    cluster = answered(*batches)
    [node] = cluster.nodes
    assert (node.state, node.heartbeat_age_ms, node.symbols) == (state, heartbeat_age_ms, ("AAUSDT",))
    assert node.alive == node.works == (state == "alive")
    assert cluster.eligible() == ({Owner("node-001", "a"): 2.0} if state == "alive" else {})


WANTED = seed(map(Instrument, ("AAUSDT", "BBUSDT", "CCUSDT", "DDUSDT")))
STUCK = Verdicts({Owner("node-001", "a"): NOW - 5000}).to_json().encode()


@pytest.mark.parametrize(
    ("mode", "status", "verdicts", "state", "works"),
    [
        (NodeMode.OPEN, {}, b"", "alive", True),
        (NodeMode.CORDONED, {}, b"", "cordoned", True),
        (NodeMode.DRAINED, {}, b"", "drained", False),
        (NodeMode.OPEN, {"drained": 1, "status_of": "a"}, b"", "drained", False),
        (NodeMode.OPEN, {"drained": 1, "status_of": "b"}, b"", "alive", True),  # another process of that name said so
        (NodeMode.CORDONED, {}, STUCK, "stuck", False),
        (NodeMode.OPEN, {}, STUCK.replace(b"node-001/a", b"node-001/b"), "alive", True),  # it has started again since
        (NodeMode.DRAINED, {"left": 1}, STUCK, "left", False),
    ],
)
def test_a_node_that_lives_may_have_no_symbols_all_the_same(
    mode: NodeMode, status: dict[str, Any], verdicts: bytes, state: str, works: bool
) -> None:
    desired = set_weight(set_mode(WANTED, "node-001", mode, NOW), "node-001", 0.5, NOW)
    cluster = answered([[(b"node-001", float(NOW))], {}], [{b"verdicts": verdicts}, record(**status)], desired=desired)
    [node] = cluster.nodes
    assert (node.state, node.works, node.weight, node.record.weight) == (state, works, 0.5, 2.0)
    assert cluster.eligible() == ({Owner("node-001", "a"): 0.5} if works else {})
    assert cluster.cordoned() == ({Owner("node-001", "a")} if state == "cordoned" else set())


@pytest.mark.parametrize(
    ("owner", "status", "keeps"),
    [(b"node-001/a", {}, True), (b"node-002/a", {}, False), (b"node-001/a", {"drained": 1, "status_of": "a"}, False)],
)
def test_the_last_node_keeps_its_symbols_though_it_is_drained(
    owner: bytes, status: dict[str, Any], keeps: bool
) -> None:
    desired = set_mode(WANTED, "node-001", NodeMode.DRAINED, NOW)
    first = [[(b"node-001", float(NOW))], {b"AAUSDT": owner}]
    others = [] if owner.startswith(b"node-001") else [{}]
    cluster = answered(first, [{}, record(**status), *others], desired=desired)
    assert cluster.eligible() == ({Owner("node-001", "a"): 2.0} if keeps else {})


def test_symbols_are_those_that_operators_want_and_others_that_are_assigned() -> None:
    desired = pause(remove(WANTED, [Instrument("CCUSDT")], NOW), [Instrument("BBUSDT")], NOW)
    owned = {symbol.encode(): b"n/a" for symbol in ("AAUSDT", "CCUSDT", "ZZUSDT")}
    cluster = answered([[], owned], [{}, {}], desired=desired)
    assert cluster.symbols(["DDUSDT", "XXUSDT"]) == ("DDUSDT", "AAUSDT", "BBUSDT", "ZZUSDT")
    assert cluster.idle == {"BBUSDT": "paused"}
    assert cluster.is_removed("CCUSDT") and not cluster.is_removed("AAUSDT")


def test_a_symbol_that_two_nodes_got_stuck_on_is_set_aside_until_it_is_resumed() -> None:
    blamed = {Instrument("AAUSDT"): {Owner("node-001", "a"): NOW - 60_000, Owner("node-002", "b"): NOW - 50_000}}
    lead = {b"verdicts": Verdicts({}, blamed).to_json().encode()}
    assert answered([[], {}], [lead]).idle == {"AAUSDT": "set aside"}
    assert answered([[], {}], [lead], desired=WANTED).idle == {"AAUSDT": "set aside"}
    paused = pause(WANTED, [Instrument("AAUSDT")], NOW)
    assert answered([[], {}], [lead], desired=paused).idle == {"AAUSDT": "paused"}
    assert answered([[], {}], [lead], desired=resume(WANTED, [Instrument("AAUSDT")], NOW)).idle == {}


def test_a_lead_that_has_ended_is_none() -> None:
    def leader(until: int) -> dict[bytes, bytes]:
        return {b"leader": b"beat", b"term": b"5", b"until": str(until).encode()}

    led = answered([[], {}], [leader(NOW + 1)]).leader
    assert led and (led.name, led.term, led.until_ms) == ("beat", 5, NOW + 1)
    assert answered([[], {}], [leader(NOW)]).leader is None


def test_symbols_are_those_assigned_in_the_order_of_the_setting() -> None:
    cluster = answered([[], {b"AAUSDT": b"n/a", b"CCUSDT": b"n/a", b"BBUSDT": b"n/a"}], [{}, {}])
    assert cluster.symbols(["CCUSDT", "XXUSDT"]) == ("CCUSDT", "AAUSDT", "BBUSDT")


def test_what_tickfence_did_not_write_is_named() -> None:
    with pytest.raises(Unreadable, match="one of nt:nodes, nt:dispatcher, nt:assignment holds what tickfence did not"):
        answered([[], {b"AAUSDT": b"no owner"}], [{}])


def test_a_damaged_desired_state_hides_no_symbol() -> None:
    steps = cluster_query(KEYS, 1000, connections=False)
    next(steps)
    steps.send((NOW, [[], {b"AAUSDT": b"node-001/a"}, {b"version": b"soon"}]))
    cluster = steps.send((NOW, [{}, {}]))
    assert isinstance(cluster, Cluster)
    assert cluster.desired is None
    assert cluster.symbols(["XXUSDT"]) == ("AAUSDT",)


def both(url: str, **more: str) -> tuple[Cluster, Cluster]:
    """The state as the command line and as the web server read it."""
    settings = Settings.from_environment({"REDIS_URL": url, **more})

    async def fetch() -> Cluster:
        plane = DataPlane(url)
        try:
            return await fetch_cluster(plane, settings)
        finally:
            await plane.close()

    with redis.Redis.from_url(url) as client:
        return read_cluster(client, settings), asyncio.run(fetch())


def fill(client: redis.Redis, keys: Keys) -> None:
    """Three nodes with a heartbeat; only the first one's connection is open."""
    seconds, _ = client.time()
    for name, client_id in (("node-001", client.client_id()), ("node-002", 999_999), ("node-003", 0)):
        client.hset(keys.node(name), mapping={"incarnation": "a", "client_id": client_id, "weight": 1})
        client.zadd(keys.nodes, {name: (seconds + 60) * 1000})
    client.hset(keys.assignment, mapping={"term": 1, "generation": 4, "AAUSDT": "node-002/a"})


@pytest.mark.parametrize("namespace", ["", "staging"])
def test_every_reader_judges_alike(redis_client: redis.Redis, redis_server: EmbeddedRedis, namespace: str) -> None:
    fill(redis_client, Keys(namespace))
    for cluster in both(redis_server.url(), NT_NAMESPACE=namespace):
        assert [(node.name, node.state) for node in cluster.nodes] == [
            ("node-001", "alive"),
            ("node-002", "gone"),
            ("node-003", "alive"),
        ]
        assert (cluster.assignment.generation, cluster.node_of("AAUSDT")) == (4, "node-002")
    for other in both(redis_server.url(), NT_NAMESPACE="another"):
        assert (other.nodes, other.assignment.owners) == ([], {})


def test_where_client_list_is_not_permitted_heartbeats_alone_count(
    redis_client: redis.Redis, redis_server: EmbeddedRedis
) -> None:
    fill(redis_client, KEYS)
    rights = ["~*", "+@read", "+time", "+hello", "+select", "+client|setname"]
    redis_client.execute_command("ACL SETUSER", "reader", "reset", "on", "nopass", *rights)
    url = redis_server.url().replace("redis://", "redis://reader:any@")
    for cluster in both(url):
        assert [node.state for node in cluster.nodes] == ["alive", "alive", "alive"]

    async def poll() -> None:
        plane = DataPlane(url)
        for _ in range(20):
            await fetch_cluster(plane, Settings.from_environment({"REDIS_URL": url}))
        await plane.close()

    before = redis_client.info("stats")["total_connections_received"]
    asyncio.run(poll())
    made = redis_client.info("stats")["total_connections_received"] - before
    assert made <= 2, "the refusal is remembered, so the connections stay"


def test_a_key_of_another_type_is_an_error_of_redis(redis_client: redis.Redis, redis_server: EmbeddedRedis) -> None:
    redis_client.set(KEYS.assignment, "x")
    settings = Settings.from_environment({"REDIS_URL": redis_server.url()})
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        read_cluster(redis_client, settings)

    async def fetch() -> None:
        plane = DataPlane(redis_server.url())
        try:
            await fetch_cluster(plane, settings)
        finally:
            await plane.close()

    with pytest.raises(Unavailable, match="WRONGTYPE"):
        asyncio.run(fetch())
