"""The stored desired state, as the commands read and replace it: what goes wrong becomes one line."""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import urlsplit

import click

from tickfence.cli.session import NothingThere, Unreachable, one_line, reach
from tickfence.coordination.desired import Change, Desired
from tickfence.coordination.desired_store import read_desired, replace_desired
from tickfence.readers.cluster import read_cluster
from tickfence.readers.data_plane import Unreadable
from tickfence.redis_access.address import masked
from tickfence.redis_access.errors import CONNECTION_LOST, NoPermission, ResponseError, cannot_serve
from tickfence.settings import Settings
from tickfence.timeline.text import leader_name

_SEED_S = 2.0
_EVERY_S = 0.1


class NotAllowed(click.ClickException):
    """Redis' access list refuses the change."""

    exit_code = os.EX_NOPERM


def find(client: Any, settings: Settings) -> Desired | None:
    """Return what is stored, if anything is.

    Raises:
        redis.exceptions.RedisError: Redis does not answer.
        Unreadable: It is no desired state. The text says what helps.
    """
    try:
        return read_desired(client, settings.keys)
    except ValueError as error:
        raise _unreadable(settings, error) from None
    except ResponseError as error:
        if cannot_serve(error) or isinstance(error, NoPermission):
            raise
        raise _unreadable(settings, error) from None


def require(client: Any, settings: Settings) -> Desired:
    """Return what is stored; a beat that leads has two seconds to store it.

    Raises:
        Unreachable: It cannot be read.
        NothingThere: Nothing is stored.
    """
    deadline = time.monotonic() + _SEED_S
    while (found := reach(settings, lambda: find(client, settings))) is None:
        leader = reach(settings, lambda: read_cluster(client, settings)).leader
        if leader is None or time.monotonic() >= deadline:
            why = (
                f"{leader_name(leader.name)} leads and stores none: it is of an older version"
                if leader
                else "no beat leads now"
            )
            raise NothingThere(
                f"there is no {settings.keys.desired} in this Redis yet. A beat stores SYMBOLS there when it leads; {why}"
            )
        time.sleep(_EVERY_S)
    return found


def replace(client: Any, settings: Settings, before: Desired, after: Desired, by: str, what: str) -> Desired | None:
    """Store ``after`` in place of ``before``; return it with its version, or ``None`` if somebody else was first.

    Raises:
        NotAllowed: The user may not.
        Unreachable: Redis does not answer, or refuses.
    """

    def attempt() -> Desired | None:
        try:
            return replace_desired(client, settings.keys, before.version, after, by, what)
        except NoPermission as error:
            user = urlsplit(settings.redis_url).username or "default"
            raise NotAllowed(
                f"REDIS_URL={masked(settings.redis_url)}: the user {user} may not change {settings.keys.desired}: "
                f"{one_line(error)}. Use one that may, like operator in deploy/redis/users.acl"
            ) from None
        except ValueError as error:
            raise _unreadable(settings, error) from None
        except CONNECTION_LOST as error:
            raise Unreachable(
                f"REDIS_URL={masked(settings.redis_url)}: {one_line(error)}. "
                "It may have been changed or not: the same command again does no harm"
            ) from None

    return reach(settings, attempt)


def change_to_json(change: Change) -> dict[str, Any]:
    """Return one change as programs get it."""
    return {"version": change.version, "at": change.at_ms, "by": change.by, "what": change.what}


def _unreadable(settings: Settings, error: ValueError | ResponseError) -> Unreadable:
    key = settings.keys.desired
    helps = f"`redis-cli DEL {key}` lets the leading beat write it again"
    return Unreadable(f"{key} holds what tickfence did not write: {error}. {helps}")
