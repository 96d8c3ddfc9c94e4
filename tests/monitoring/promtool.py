"""Prometheus' own checker of configurations, rules and rule tests."""

from __future__ import annotations

import subprocess

from tests.programs import program


def complaints(page: bytes) -> set[str]:
    """What it has to say of a page of metrics, by the conventions for names and help."""
    command = [program("promtool", "prometheus"), "check", "metrics"]
    done = subprocess.run(command, input=page, capture_output=True, check=False)
    return set((done.stdout + done.stderr).decode().splitlines())


def promtool(*arguments: str) -> None:
    """Run it; what it complains about fails the test."""
    command = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
