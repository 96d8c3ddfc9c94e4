"""The Compose file in real containers: `make compose-test`. Not among the tests of `make test`.

Builds the image, starts everything, and has nodes stopped, killed, frozen and cut off, as docs/deployment.md shows it.
Shows what it types and what comes of it, and leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.deploy import engine as engines
from tests.deploy.acl_redis import make_secrets
from tests.deploy.compose_file import ROOT, is_optional, services
from tests.deploy.engine import Engine
from tests.deploy.report_watch import ReportWatch, seconds_since
from tests.processes import wait_until
from tools.local import ports

pytestmark = pytest.mark.timeout(900)

NODES = {"node-001", "node-002", "node-003"}
OPTIONAL = ("prometheus", "grafana")
"""Services that are left out where their image cannot be had."""

ON_ALL_NETWORKS = ("redis", "simulator", "web")

FAULTS = {
    "stop": ("node-002", "compose stop {service}", "compose start {service}"),
    "kill": ("node-003", "kill {container}", "compose start {service}"),
    "pause": ("node-001", "pause {container}", "unpause {container}"),
    "disconnect": (
        "node-002",
        "network disconnect {network} {container}",
        "network connect --alias {service} {network} {container}",
    ),
}
"""Name -> the node that is taken away, what takes it away, what brings it back."""

_PORTS = {f"{name.upper()}_PORT": str(ports.pick()) for name in ("web", "flower", "prometheus", "grafana")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine, with a copy of the repository, secrets of its own, and the image built."""
    folder = tmp_path_factory.mktemp("project")
    engine = engines.find(folder, f"tickfence-test-{os.getpid()}", _PORTS)
    if engine is None:
        pytest.exit(f"make compose-test {engines.NONE}", returncode=2)
    left_out = shutil.ignore_patterns(".*", "__pycache__", "secrets", "tests", "docs")
    shutil.copytree(ROOT, folder, ignore=left_out, dirs_exist_ok=True)
    shutil.copy(ROOT / ".dockerignore", folder)
    make_secrets(folder / "secrets")
    pip = ["--secret", f"id=pip,src={path}"] if (path := os.environ.get("PIP_CONFIG_FILE")) else []
    engine.run("build", *pip, "--tag", "tickfence", str(folder))
    try:
        yield engine
    finally:
        engine.clean_up()
        assert engine.containers() == []


@pytest.fixture(scope="module")
def running(project: Engine) -> set[str]:
    """The services that were started."""
    here = services()
    missing = {name for name in OPTIONAL if not project.has_image(here[name]["image"])}
    for name in missing:
        print(f"{name}: its image {here[name]['image']} cannot be had here, so it is left out")
    started = {name for name in here if not is_optional(here[name])} - missing - {"node"}
    if project.program == "podman":
        project.compose("up", "-d", "--no-build", *ON_ALL_NETWORKS)
        project.hold_bridges()
    project.compose("up", "-d", "--no-build", *sorted(started))
    return started


@pytest.fixture(scope="module")
def watch(running: set[str]) -> Iterator[ReportWatch]:
    assert "web" in running
    with ReportWatch(f"http://{ports.LOOPBACK}:{_PORTS['WEB_PORT']}") as watching:
        yield watching
    assert watching.falling_tokens() == []


def wait_for_writers(project: Engine, watch: ReportWatch, wanted: set[str], timeout_s: float = 60) -> None:
    """Wait until all six symbols have new reports, by the nodes that are wanted and no other."""
    since, started = watch.now_ms(), time.monotonic()

    def right() -> bool:
        found = watch.writers(since)
        return len(found) == 6 and set(found.values()) == wanted

    def seen() -> str:
        return f"reports by {wanted}; they are by {watch.writers()}; {project.logs('web')}\n{project.logs('node-001')}"

    wait_until(right, seen, timeout_s)
    print(f"  {seconds_since(started)} later: {dict(sorted(watch.writers(since).items()))}")


def test_reports_flow_from_three_nodes(project: Engine, watch: ReportWatch) -> None:
    wait_for_writers(project, watch, NODES, 120)


def test_every_health_check_passes(project: Engine, running: set[str]) -> None:
    for service in sorted(running):
        wait_until(lambda service=service: project.healthy(service), f"{service} is healthy", 60, 0.5)
    print(f"  healthy: {', '.join(sorted(running))}")


def test_a_container_is_confined(project: Engine) -> None:
    node = project.container("node-001")
    assert project.run("exec", node, "id", "-u").strip() == "10001"
    look = "touch /app/x 2>/dev/null && echo wrote; touch /tmp/x && ls /run/secrets; echo end"
    assert project.run("exec", node, "sh", "-c", look).split() == ["redis-node", "end"]
    reach = "import socket; socket.create_connection(('simulator', 9443), 2)"
    with pytest.raises(AssertionError, match=r"Name or service not known|Temporary failure"):
        project.run("exec", node, "python", "-c", reach)
    assert "NOAUTH" in project.run("exec", project.container("redis"), "redis-cli", "ping")


def test_the_commands_of_the_project_are_there(project: Engine, watch: ReportWatch) -> None:
    shown = project.run("exec", project.container("web"), "celery", "-A", "tasks", "owners")
    assert all(symbol in shown for symbol in watch.newest())


def test_a_node_tells_where_its_metrics_are(project: Engine) -> None:
    web = project.container("web")
    nodes = json.loads(project.ask("exec", web, "celery", "-A", "tasks", "nodes", "--json"))["nodes"]
    assert {node["node"] for node in nodes} == NODES
    for node in nodes:
        project.run(
            "exec",
            web,
            "python",
            "-m",
            "tickfence.monitoring.probe",
            node["metricsUrl"],
            "--fresh",
            "nt_node_heartbeat",
        )


def scraped(job: str) -> list[str]:
    """Instances of a job that Prometheus scrapes without trouble."""
    there = ReportWatch(f"http://{ports.LOOPBACK}:{_PORTS['PROMETHEUS_PORT']}")
    targets = there.page("/api/v1/targets")["data"]["activeTargets"]
    return sorted(t["labels"]["instance"] for t in targets if t["labels"]["job"] == job and t["health"] == "up")


def test_prometheus_sees_all_roles(running: set[str]) -> None:
    if "prometheus" not in running:
        pytest.skip("its image cannot be had here")
    for job, instances in {
        "node": sorted(NODES),
        "beat": ["beat-1", "beat-2"],
        "ingest": ["ingest-1", "ingest-2"],
        "recorder": ["recorder-1", "recorder-2"],
    }.items():
        wait_until(
            lambda job=job, all_=instances: scraped(job) == all_, lambda job=job: f"{job}: {scraped(job)}", 30, 0.5
        )


def test_each_recorder_writes_into_the_volume_that_web_reads(project: Engine, running: set[str]) -> None:
    assert {"recorder-1", "recorder-2"} <= running
    for name in ("recorder-1", "recorder-2"):
        listed = ("find", "/recordings", "-name", f"hour-*.{name}.*.parquet.open")
        wait_until(
            lambda listed=listed: project.ask("exec", project.container("web"), *listed),
            lambda name=name: f"files of {name}: {project.logs(name)}",
            150,  # a minute's data make a file
            1.0,
        )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_is_taken_away_is_replaced(project: Engine, watch: ReportWatch, fault: str) -> None:
    service, away, back = FAULTS[fault]
    names = {"service": service, "container": project.container(service), "network": f"{project.project}_data"}
    since = watch.now_ms()
    project.type(away.format(**names))
    wait_for_writers(project, watch, NODES - {service})
    told(watch, since)
    if fault == "disconnect":
        wait_until(lambda: not project.healthy(service), f"{service} is unhealthy", 60, 0.5)
    project.type(back.format(**names))
    wait_for_writers(project, watch, NODES)


def test_a_node_that_crashes_is_started_again(project: Engine, watch: ReportWatch) -> None:
    def incarnation() -> str | None:
        found = [
            node["incarnation"]
            for node in watch.page("/nodes")["nodes"]
            if node["node"] == "node-003" and node["alive"]
        ]
        return found[0] if found else None

    first, since = incarnation(), watch.now_ms()
    project.ask("exec", project.container("node-003"), "sh", "-c", "kill -9 -1")  # all but the init
    wait_until(lambda: incarnation() not in (None, first), "node-003 is started again", 60)
    wait_for_writers(project, watch, NODES)
    told(watch, since)


def test_the_leading_beat_is_stopped(project: Engine, watch: ReportWatch) -> None:
    def leader() -> str | None:
        lead = watch.page("/nodes")["leader"]
        return lead["leader"] if lead else None

    first = wait_until(leader, "a beat leads")
    beat = next(name for name in ("beat-1", "beat-2") if name in first)
    since = watch.now_ms()
    project.run("kill", project.container(beat))
    wait_until(lambda: leader() not in (None, first), "another beat leads", 20)
    wait_for_writers(project, watch, NODES)
    told(watch, since)
    project.compose("start", beat)


def test_redis_is_restarted(project: Engine, watch: ReportWatch) -> None:
    assert refusals(project) == ""
    since = watch.now_ms()
    project.compose("restart", "redis")
    wait_for_writers(project, watch, NODES, 120)
    told(watch, since)


def test_two_more_nodes_are_added(project: Engine, running: set[str], watch: ReportWatch) -> None:
    if project.scales():
        project.compose("up", "-d", "--no-build", "--scale", "node=2", "node")
    else:
        project.compose("up", "-d", "--no-build", "node", EXTRA_NODES="2")

    def alive() -> set[str]:
        return {node["node"] for node in watch.page("/nodes")["nodes"] if node["alive"]}

    wait_until(lambda: len(alive()) == 5, lambda: f"five nodes: {alive()}; {project.logs('node')}", 60, 0.2)
    assert alive() > NODES
    print(f"  alive: {sorted(alive())}")
    if "prometheus" in running:
        wait_until(lambda: len(scraped("node")) == 5, lambda: f"five are scraped: {scraped('node')}", 90, 0.5)
        print(f"  scraped: {scraped('node')}")
    assert refusals(project) == ""


def refusals(project: Engine) -> str:
    """What Redis refused, and to whom, since it started."""
    password = (project.folder / "secrets" / "redis-admin").read_text()
    ask = ("exec", "-e", f"REDISCLI_AUTH={password}", project.container("redis"), "redis-cli", "--user", "admin")
    assert project.ask(*ask, "ping") == "PONG\n"
    return project.ask(*ask, "acl", "log").strip()


def told(watch: ReportWatch, since_ms: int, at_most_ms: int = 5_000) -> None:
    """Show, and bound with room, how long a symbol was without a new report."""
    gap = watch.longest_gap_ms(since_ms)
    print(f"  longest time between two reports of a symbol: {gap} ms")
    assert gap < at_most_ms


def test_nothing_is_left_behind(project: Engine) -> None:
    project.clean_up()
    assert project.containers() == []
    listed = subprocess.run(
        [project.program, "network", "ls", "--format", "{{.Name}}"], capture_output=True, text=True, check=True
    )
    assert project.project not in listed.stdout
