"""Prometheus' own checker of configurations, rules and rule tests."""

from __future__ import annotations

import subprocess

from tests.programs import program


def promtool(*arguments: str) -> None:
    """Run it; what it complains about fails the test."""
    command = [program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
