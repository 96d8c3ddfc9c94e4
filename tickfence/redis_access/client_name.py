"""The name of a connection in ``CLIENT LIST``: for people, so no condition of connecting.

Some managed services and proxies have no command ``CLIENT``, and an access list may forbid it. With redis-py's own
``client_name`` every connection then fails. It ignores a refusal of the rest that it sends of ``CLIENT``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tickfence.redis_access.errors import ResponseError, not_offered


def named(name: str) -> Callable[[Any], None]:
    """What redis-py calls for a new blocking connection, ``redis_connect_func``: it gets the name, if that is possible."""

    def connect(connection: Any) -> None:
        connection.on_connect()
        name_only(name)(connection)

    return connect


def name_only(name: str) -> Callable[[Any], None]:
    """The same for a cluster's blocking client, which has done the rest by then."""

    def give(connection: Any) -> None:
        connection.send_command("CLIENT", "SETNAME", name, check_health=False)
        try:
            connection.read_response()
        except ResponseError as error:
            _accept(error)

    return give


def named_asyncio(name: str) -> Callable[[Any], Awaitable[None]]:
    """The same for an asyncio connection. A cluster's asyncio client takes no such function."""

    async def connect(connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command("CLIENT", "SETNAME", name, check_health=False)
        try:
            await connection.read_response()
        except ResponseError as error:
            _accept(error)

    return connect


def _accept(error: Exception) -> None:
    if not not_offered(error):
        raise error
