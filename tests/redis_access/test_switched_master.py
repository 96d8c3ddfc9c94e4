"""Connections to a master that Sentinel replaces while it stays up: they end at once, and new ones find its successor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection
from redis import exceptions

from tests.processes import wait_until
from tests.redis_groups import SentinelGroup
from tickfence.redis_access.address import Address, kombu_address
from tickfence.redis_access.broker_transport import follow_switches
from tickfence.redis_access.connect import connect
from tickfence.redis_access.raw_connection import opener
from tickfence.redis_access.switched_master import SwitchedMaster, parse_switch

OLD, NEW, OTHER = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)
PROMPT_S = 3.0
"""Sentinel itself takes about a second; without following, the connections would stay for ten."""


class Link:
    """A connection that knows that it was cut."""

    def __init__(self, to: Address) -> None:
        self.host, self.port = to
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


@pytest.fixture
def master() -> SwitchedMaster:
    return SwitchedMaster("mymaster", frozenset())


def test_a_switch_ends_the_connections_to_the_old_master_only(master: SwitchedMaster) -> None:
    old, new = Link(OLD), Link(NEW)
    assert master.add(old)
    assert master.add(new)
    master.switch(OLD, NEW)
    assert (old.is_cut, new.is_cut) == (True, False)


def test_a_sentinel_that_has_not_heard_of_the_switch_leads_to_the_new_master_all_the_same(
    master: SwitchedMaster,
) -> None:
    master.switch(OLD, NEW)
    assert master.newest(OLD) == NEW
    assert master.newest(NEW) == NEW
    assert master.newest(OTHER) == OTHER
    assert not master.add(Link(OLD)), "it was replaced while the connection was being made"


def test_a_master_that_comes_back_counts_at_once(master: SwitchedMaster) -> None:
    master.switch(OLD, NEW)
    master.switch(NEW, OLD)
    assert master.newest(OLD) == OLD
    assert master.newest(NEW) == OLD
    back = Link(OLD)
    assert master.add(back)
    master.switch(NEW, OLD)  # the same from another Sentinel
    assert not back.is_cut


def test_what_is_no_switch_is_refused() -> None:
    assert parse_switch("mymaster ::1 6379 ::2 6380") == ("mymaster", ("::1", 6379), ("::2", 6380))
    for text in ("", "mymaster 10.0.0.1 6379", "mymaster 10.0.0.1 x 10.0.0.2 6379"):
        with pytest.raises(ValueError, match=r"unpack|invalid literal"):
            parse_switch(text)


@pytest.fixture(scope="module")
def group() -> Iterator[SentinelGroup]:
    with SentinelGroup() as group:
        yield group


def ended_after(client: Any, ended: dict[str, float], name: str) -> None:
    with pytest.raises(exceptions.ConnectionError):
        client.blpop(["nothing"], timeout=60)
    ended[name] = time.monotonic()


def test_every_kind_of_connection_follows_a_planned_switch(group: SentinelGroup) -> None:
    """A blocking client, one of kombu and an asyncio one wait at the old master."""
    follow_switches()
    url = group.url(0)
    ended: dict[str, float] = {}
    blocking = connect(url, name="test", timeout_s=60)
    where, options = kombu_address(url)
    with blocking, Connection(where, transport_options=options) as broker:
        with broker.default_channel.conn_or_acquire() as kombus:
            threads = [
                threading.Thread(target=ended_after, args=(client, ended, name))
                for name, client in (("blocking", blocking), ("kombu", kombus))
            ]
            for thread in threads:
                thread.start()
            asked = asyncio.run(wait_at_the_old_master(group, url, ended))
            for thread in threads:
                thread.join(30)
        assert {name: at - asked < PROMPT_S for name, at in ended.items()} == dict.fromkeys(
            ("blocking", "kombu", "asyncio"), True
        )
        assert blocking.set("key", "value")
        assert group.second.client.get("key") == b"value"
        assert group.first.client.role()[0] == b"master", "it has not been told yet"


async def wait_at_the_old_master(group: SentinelGroup, url: str, ended: dict[str, float]) -> float:
    """Switch while an asyncio connection waits, too; return when."""
    connection = await opener(url, name="test", timeout_s=60)()
    waiting = asyncio.create_task(connection.exchange(b"*3\r\n$5\r\nBLPOP\r\n$7\r\nnothing\r\n$2\r\n60\r\n", 1))
    try:
        await asyncio.to_thread(
            wait_until, lambda: group.first.client.info("clients")["blocked_clients"] == 3, "three that wait"
        )
        await asyncio.to_thread(group.switch)
        asked = time.monotonic()
        with pytest.raises(exceptions.ConnectionError):
            await waiting
        ended["asyncio"] = time.monotonic()
        return asked
    finally:
        await connection.close()
