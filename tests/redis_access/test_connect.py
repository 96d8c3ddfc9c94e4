"""Connecting to a Redis without the command CLIENT, in every way that the roles do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import hiredis
import pytest

from tests.redis_groups import ClusterGroup, SentinelGroup, Server
from tickfence.redis_access.connect import connect, connect_asyncio
from tickfence.redis_access.raw_connection import opener

PLAIN = "ACL SETUSER plain on >any ~* &* +@all -client"


@pytest.fixture(scope="module")
def renamed() -> Iterator[Server]:
    """A server that has no such command at all, as managed services do it."""
    with Server("--rename-command", "CLIENT", "") as server:
        yield server


def set_with_each(url: str) -> list[object]:
    """What a blocking client, a pipeline, an asyncio client and a raw connection are answered."""

    async def asyncio_ones() -> list[object]:
        client = connect_asyncio(url, name="named", timeout_s=2)
        try:
            answers = [await client.set("a", 1)]
        finally:
            await client.aclose()
        if "cluster" not in url:
            raw = await opener(url, name="named", timeout_s=2)()
            answers += await raw.exchange(hiredis.pack_command(("SET", "a", 1)), 1)
            await raw.close()
        return answers

    with closing(connect(url, name="named")) as client:
        pipe = client.pipeline(transaction=False)
        pipe.set("a", 1)
        blocking = [client.set("a", 1), *pipe.execute()]
    return blocking + asyncio.run(asyncio_ones())


def test_a_server_that_has_no_such_command(renamed: Server) -> None:
    assert set_with_each(f"redis://127.0.0.1:{renamed.port}/1") == [True, True, True, b"OK"]


def test_a_user_who_may_not_run_it(renamed: Server) -> None:
    renamed.client.execute_command(*PLAIN.split())
    assert set_with_each(f"redis://plain:any@127.0.0.1:{renamed.port}/0") == [True, True, True, b"OK"]


def test_behind_sentinel() -> None:
    with SentinelGroup() as group:
        group.first.client.execute_command(*PLAIN.split())
        assert set_with_each(group.url().replace("://", "://plain:any@")) == [True, True, True, b"OK"]


def test_in_a_cluster() -> None:
    with ClusterGroup() as group:
        for master in group.masters:
            master.client.execute_command(*PLAIN.split())
        assert set_with_each(group.url.replace("://", "://plain:any@")) == [True, True, True]
