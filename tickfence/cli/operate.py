"""The commands that change the desired state: compute, compare-and-set, say what changed, wait until it holds."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import click

from tickfence.cli import session, stored, waiting
from tickfence.cli.request import (
    Outcome,
    Request,
    apply_request,
    mode_request,
    symbols_request,
    weight_request,
)
from tickfence.cli.session import NotAccepted, NothingThere, reach, say
from tickfence.cli.symbols_file import parse_symbols
from tickfence.coordination.desired import Change, Desired
from tickfence.instrument import Instrument
from tickfence.readers.cluster import read_cluster, server_ms
from tickfence.readers.reader import UnknownSymbol
from tickfence.settings import Settings

TRIES = 10
_HEAVIEST = 1000.0
_BY_MAX = 64


class NotYet(click.ClickException):
    """What was asked for is stored, and does not hold yet."""

    exit_code = 1


class Changed(NamedTuple):
    """What a request has done.

    Attributes:
        desired: The state with what was asked for.
        version: The version that has it.
        outcomes: One for each symbol or node that was asked for.
        meanwhile: What others have done since we read the state first.
    """

    desired: Desired
    version: int
    outcomes: list[Outcome]
    meanwhile: list[Change]


def change_symbols(verb: str, symbols: Sequence[Instrument], **how: Any) -> None:
    """Run ``symbols add|remove|pause|resume``."""
    with session.connected("symbols") as (client, settings):
        _run(client, settings, symbols_request(verb, symbols), **how)


def apply_file(file: Any, *, dry_run: bool, allow_empty: bool, **how: Any) -> None:
    """Run ``symbols apply``.

    Raises:
        NotAccepted: The file cannot be used.
    """
    source = "standard input" if file.name == "<stdin>" else Path(file.name).name
    try:
        wanted = parse_symbols(file)
    except UnicodeDecodeError:
        raise NotAccepted(f"{source} is not UTF-8 text. Nothing was changed") from None
    except ValueError as error:
        raise NotAccepted(f"{source}, {error}. Nothing was changed") from None
    if not wanted and not allow_empty:
        raise NotAccepted(f"{source} has no symbol. Nothing was changed; --allow-empty removes all symbols")
    request = apply_request(wanted, source)
    with session.connected("symbols") as (client, settings):
        if not dry_run:
            _run(client, settings, request, **how)
            return
        before = stored.require(client, settings)
        after = _compute(client, settings, request, before)
        done = Changed(before, before.version, request.outcomes(before, after), [])
        _tell(done, as_json=how["as_json"], dry_run=True)


def change_nodes(verb: str, nodes: Sequence[str], **how: Any) -> None:
    """Run ``nodes cordon|drain|uncordon``."""
    with session.connected("nodes") as (client, settings):
        _check_known(client, settings, nodes)
        _run(client, settings, mode_request(verb, nodes), **how)


def set_weight(node: str, weight: str, **how: Any) -> None:
    """Run ``nodes weight``.

    Raises:
        NotAccepted: The weight is none.
    """
    request = weight_request(node, _weight(weight))
    with session.connected("nodes") as (client, settings):
        _check_known(client, settings, [node])
        _run(client, settings, request, **how)


def _weight(text: str) -> float | None:
    if text == "default":
        return None
    try:
        weight = float(text)
    except ValueError:
        weight = inf
    if not 0 < weight <= _HEAVIEST:
        raise NotAccepted(f"weight {text!r} must be a number above 0, up to {_HEAVIEST:,g}, or default")
    return weight


def _check_known(client: Any, settings: Settings, nodes: Sequence[str]) -> None:
    """Refuse the names of nodes that nobody has heard of: they are mistyped."""
    if not settings.nt_enable_multi_instance:
        raise NothingThere(session.NO_COORDINATION)
    known = {node.name for node in reach(settings, lambda: read_cluster(client, settings)).nodes}
    known |= stored.require(client, settings).nodes.keys()
    for node in nodes:
        if node not in known:
            there = ", ".join(sorted(known)) or "none"
            raise NotAccepted(f"there is no node {node!r}; there are {there}. Nothing was changed")


def _run(
    client: Any, settings: Settings, request: Request, *, by: str | None, wait_s: float | None, as_json: bool
) -> None:
    done = change(client, settings, request, _author(by))
    if wait_s is None or not as_json:
        _tell(done, as_json=as_json)
    if wait_s is None:
        return
    started = time.monotonic()

    def elapsed() -> str:
        return f"{time.monotonic() - started:.1f} s"

    def tell(line: str) -> None:
        if not as_json:
            say(f"waiting, {elapsed()}: {line}")

    goal = waiting.Goal.of(
        done.desired._replace(version=done.version), **{request.about: [outcome.name for outcome in done.outcomes]}
    )
    try:
        lacking = waiting.wait(client, settings, goal, wait_s, tell)
    except waiting.Superseded as superseded:
        lacking = [str(superseded)]
    if as_json:
        _tell(done, as_json=True, lacking=lacking)
    elif not lacking:
        say(f"it holds after {elapsed()}")
    if lacking:
        raise NotYet(f"it does not hold after {elapsed()}: {waiting.summary(lacking)}")


def change(client: Any, settings: Settings, request: Request, by: str) -> Changed:
    """Change the stored state; again, from what is stored then, when somebody else was first.

    Raises:
        click.ClickException: Nothing was changed.
    """
    first = before = stored.require(client, settings)
    for _ in range(TRIES):
        after = _compute(client, settings, request, before)
        if after is before:
            return Changed(before, before.version, request.outcomes(before, after), _since(first, before))
        new = stored.replace(client, settings, before, after, by, request.what)
        if new is not None:
            ours, *later = _since(before, new)  # others may have changed it again before we could read it
            return Changed(after, ours.version, request.outcomes(before, after), [*_since(first, before), *later])
        before = stored.require(client, settings)
    raise NothingThere(
        f"{TRIES} times somebody else changed the symbols or nodes first. Nothing was changed: try again"
    )


def _since(before: Desired, now: Desired) -> list[Change]:
    return [change for change in now.changes if change.version > before.version]


def _compute(client: Any, settings: Settings, request: Request, before: Desired) -> Desired:
    now_ms = reach(settings, lambda: server_ms(client))
    try:
        after = request.compute(before, now_ms)
    except UnknownSymbol as error:
        raise NotAccepted(f"{error}. Nothing was changed") from None
    return before if after is before else after.without_old_removals(now_ms)


def _tell(done: Changed, *, as_json: bool, dry_run: bool = False, lacking: list[str] | None = None) -> None:
    if as_json:
        data = {
            "version": done.version,
            "changed": [{"name": one.name, "change": one.change} for one in done.outcomes if one.change],
            "unchanged": [one.name for one in done.outcomes if not one.change],
            "meanwhile": list(map(stored.change_to_json, done.meanwhile)),
        }
        data |= {"dryRun": True} if dry_run else {}
        data |= {} if lacking is None else {"missing": lacking}
        say(json.dumps(data))
        return
    for outcome in done.outcomes:
        say(f"{outcome.text}{' (dry run)' if dry_run else ''}")
    if not done.outcomes:
        say("nothing to change")
    for other in done.meanwhile:
        say(f"meanwhile: {other.by} did `{other.what}`")


def _author(given: str | None) -> str:
    """Who changes it: what was given, or user@host.

    Raises:
        NotAccepted: What was given does not fit in a line.
    """
    if given is not None:
        if not (given.isprintable() and 0 < len(given.strip()) <= _BY_MAX):
            raise NotAccepted(f"--by {given!r} must be 1 to {_BY_MAX} characters that can be printed")
        return given
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"[:_BY_MAX]
