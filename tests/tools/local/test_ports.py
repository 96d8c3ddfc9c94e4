"""Ports: the usual one where it is free, another where it is not."""

from __future__ import annotations

import random
import socket
import subprocess
import sys

import pytest

from tools.local import ports
from tools.local.roles import ROOT, Ports


def listener() -> socket.socket:
    server = socket.socket()
    server.bind((ports.LOOPBACK, 0))
    server.listen()
    return server


def test_a_listening_port_is_not_free_and_is_not_picked() -> None:
    with listener() as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.pick(port) != port
    assert ports.is_free(port)
    assert ports.pick(port) == port


def test_a_bound_port_that_does_not_listen_yet_is_not_free() -> None:
    with socket.socket() as server:
        server.bind((ports.LOOPBACK, 0))
        assert not ports.is_free(server.getsockname()[1])


def test_a_taken_port_is_not_picked_again() -> None:
    port = ports.pick()
    assert ports.pick(port, taken=[port]) != port


def test_only_free_ports_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as one, listener() as other:
        used, taken = one.getsockname()[1], other.getsockname()[1]
        other.close()
        draws = iter((used, taken, free := ports.pick()))
        monkeypatch.setattr(random, "randint", lambda _first, _last: next(draws))
        assert ports.pick(taken=[taken]) == free


def test_no_free_port_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_TRIES", 0)
    with pytest.raises(RuntimeError, match=r"no free port between 20000 and 32000 on 127\.0\.0\.1"):
        ports.pick()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that end with their holder")
def test_what_one_stack_has_chosen_no_other_chooses_though_nobody_listens_yet() -> None:
    first = Ports.choose()
    ours = {first.redis, first.simulator, first.flower, first.web, *first.metrics.values()}
    assert all(ports.is_free(port) for port in ours)
    code = "from tools.local.roles import Ports; p = Ports.choose(); print(p.redis, p.simulator, p.flower, p.web, *p.metrics.values())"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert not ours & {int(port) for port in told.stdout.split()}
    assert ports.pick(first.web) != first.web
    web = first.web
    del first
    assert ports.pick(web) == web


@pytest.mark.parametrize("usual", [True, False])
def test_a_stacks_ports_are_all_different(usual: bool) -> None:
    chosen = Ports.choose(usual=usual)
    numbers = [chosen.redis, chosen.simulator, chosen.flower, chosen.web, *chosen.metrics.values()]
    assert len(set(numbers)) == len(numbers) == 14
    if not usual:
        assert not {6379, 9443, 5555, 8000, 9101, 9102, 9103, 9111, 9112, 9121, 9122, 9131, 9132, 9161} & set(numbers)
