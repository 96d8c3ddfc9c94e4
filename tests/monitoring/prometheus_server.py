"""A real Prometheus that scrapes a stack on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.processes import wait_until
from tests.programs import program
from tools.local import ports


class Prometheus:
    """Runs with a stack's configuration, ten times as fast: it scrapes twice a second, and a minute in a rule is 6 s.

    Parameters:
        config: the stack's prometheus.yml.
        folder: for the configuration, the data and the log.
    """

    def __init__(self, config: Path, folder: Path) -> None:
        self._folder = folder
        path = self._hasten(yaml.safe_load(config.read_text()))
        port = ports.pick()
        self.url = f"http://{ports.LOOPBACK}:{port}"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program("prometheus", "prometheus"),
                    f"--config.file={path}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address={ports.LOOPBACK}:{port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Wait until it answers queries."""
        wait_until(self._ready, (self._folder / "log").read_text, 20, 0.05)

    def targets(self) -> dict[str, str]:
        """Health by instance."""
        found = self._get("targets")["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in found}

    def fired(self, within_s: float) -> set[tuple[str, str]]:
        """(alert, instance) of each alert that fired in the last ``within_s``; no instance: an empty text."""
        return _alerts(self.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{within_s * 1000:.0f}ms])'))

    def firing(self) -> set[tuple[str, str]]:
        """The same of those that fire now."""
        return _alerts(self.query('ALERTS{alertstate="firing"}'))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series an expression gives now."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _hasten(self, config: dict[str, Any]) -> Path:
        config["global"] = {name: _hastened(duration) for name, duration in config["global"].items()}
        [rules] = config["rule_files"]
        groups = yaml.safe_load(Path(rules).read_text())
        for group in groups["groups"]:
            for rule in group["rules"]:
                rule["expr"] = re.sub(r"\[(\w+)\]", lambda found: f"[{_hastened(found[1])}]", rule["expr"])
                rule["for"] = _hastened(rule.get("for", "0s"))
        (self._folder / "alerts.yml").write_text(yaml.safe_dump(groups))
        config["rule_files"] = ["alerts.yml"]
        path = self._folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        return path

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


def _hastened(duration: str) -> str:
    number, unit = int(duration[:-1]), duration[-1]
    return f"{number * {'s': 1000, 'm': 60_000, 'h': 3_600_000}[unit] // 10}ms"


def _alerts(series: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["metric"]["alertname"], one["metric"].get("instance", "")) for one in series}
