"""docker-compose.yml says what it should, and nothing that the code does not accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import celeryconfig
from tests.deploy.accepted import accept
from tests.deploy.acl_redis import make_secrets
from tests.deploy.compose_file import ROOT, command, compose_file, is_one_off, is_optional, services
from tickfence.monitoring.probe import parser as probes_parser
from tickfence.recorder.service import FINISH_WITHIN_S
from tickfence.settings import Settings

OURS = {
    **dict.fromkeys(("ingest-1", "ingest-2"), "ingest"),
    **dict.fromkeys(("beat-1", "beat-2"), "beat"),
    **dict.fromkeys(("node-001", "node-002", "node-003", "node"), "node"),
    **dict.fromkeys(("recorder-1", "recorder-2"), "recorder"),
    **dict.fromkeys(("alerts-1", "alerts-2"), "alerts"),
    "batch": "batch",
    "flower": "flower",
    "web": "web",
    "operator": "operator",
    "simulator": None,
}
"""Service of our image -> its Redis user."""

PUBLISHED = {"flower": 5555, "web": 8000, "prometheus": 9090, "grafana": 3000, "alertmanager": 9093}
SENDERS = ("alerts-1", "alerts-2")
METRICS_PORTS = {
    "node": 9101,
    "beat": 9111,
    "ingest": 9121,
    "recorder": 9131,
    "batch": 9141,
    "alerts": 9151,
    "web": 9161,
}
OTHERS_VARIABLES = {"grafana": "GF_", "flower": "FLOWER_"}

SERVICES = services()
every_service = pytest.mark.parametrize("name", SERVICES)
every_service_of_ours = pytest.mark.parametrize("name", OURS)


def test_the_services_are_those_of_the_whole_system() -> None:
    assert SERVICES.keys() == OURS.keys() | {"redis", "prometheus", "grafana", "alertmanager"}
    assert {name for name, service in SERVICES.items() if service["image"] == "tickfence"} == OURS.keys()
    assert SERVICES["node"]["deploy"]["replicas"] == "0"
    assert services({"EXTRA_NODES": "2"})["node"]["deploy"]["replicas"] == "2"


@every_service
def test_a_container_has_few_rights_and_limits(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, and not root's"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if is_one_off(service) else "unless-stopped")
    assert 0 < service["cpus"] <= 1
    assert re.fullmatch(r"\d+m|1g", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 200
    assert service["tmpfs"]
    assert all(re.fullmatch(r"/[\w/]+:size=\d+m", folder) for folder in service["tmpfs"]), (
        "what is in it counts as memory"
    )
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}, "or the disk runs full"
    assert not service.keys() & {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "env_file"}


@every_service
def test_a_container_has_an_init_that_buries_what_a_health_check_leaves(name: str) -> None:
    assert SERVICES[name]["init"] is True


def test_the_image_is_built_once_and_never_pulled() -> None:
    # Compose builds services side by side, and with Docker two builds that end in one name may fail: "already exists".
    assert [name for name, service in SERVICES.items() if "build" in service] == ["web"]
    assert {name for name, service in SERVICES.items() if service.get("pull_policy") == "never"} == OURS.keys()


def test_grafana_fetches_nothing() -> None:
    told = SERVICES["grafana"]["environment"]
    assert {"GF_PLUGINS_PREINSTALL_DISABLED": "true", "GF_NEWS_NEWS_FEED_ENABLED": "false"}.items() <= told.items()
    assert {
        told[f"GF_ANALYTICS_{what}"] for what in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES")
    } == {"false"}


def test_operators_and_batch_workers_run_only_when_they_are_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if is_optional(service)} == {"operator", "batch", *SENDERS}
    assert {name for name, service in SERVICES.items() if is_one_off(service)} == {"operator"}


@pytest.mark.parametrize("name", [name for name, service in SERVICES.items() if not is_one_off(service)])
def test_a_container_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check.keys() == {"test", "interval", "timeout", "retries", "start_period"}
    words = check["test"].split()
    if words[:3] == ["python", "-m", "tickfence.monitoring.probe"]:
        asked = probes_parser().parse_args(words[3:])
        gauge = f'"{asked.fresh}"' if asked.fresh else ""
        role = name.partition("-")[0]
        metrics = f"{role}_metrics" if role in ("recorder", "alerts") else "node_metrics"
        assert gauge in (ROOT / "tickfence" / "monitoring" / f"{metrics}.py").read_text()
    else:
        assert name in ("redis", "prometheus", "grafana", "alertmanager")


def test_what_is_published_is_published_on_the_loopback_address_only() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in PUBLISHED.items()}
    moved = {f"{name.upper()}_PORT": "1234" for name in PUBLISHED}
    for name, port in PUBLISHED.items():
        assert services(moved)[name]["ports"] == [f"127.0.0.1:1234:{port}"]


def test_only_ingest_can_reach_the_exchange_and_only_what_is_published_the_outside() -> None:
    networks = compose_file()["networks"]
    assert networks == {"data": {"internal": True}, "market": None, "edge": None}
    on = {net: {name for name, service in SERVICES.items() if net in service["networks"]} for net in networks}
    assert on["market"] == {"simulator", "ingest-1", "ingest-2"}
    assert on["edge"] == {*PUBLISHED, *SENDERS}
    assert on["data"] == SERVICES.keys() - {"simulator", "grafana", "alertmanager"}


def test_each_service_gets_its_own_secrets_and_all_of_them_are_made(tmp_path: Path) -> None:
    made = {path.name for path in make_secrets(tmp_path / "secrets").iterdir()}
    assert {name: secret["file"] for name, secret in compose_file()["secrets"].items()} == {
        name: f"./secrets/{name}" for name in made - {"redis-admin"}
    }
    for name, user in OURS.items():
        more = {"web": ["web-token"], "alerts": ["alerts-webhook"]}.get(user or "", [])
        assert SERVICES[name].get("secrets", []) == ([f"redis-{user}", *more] if user else [])
    assert SERVICES["redis"]["secrets"] == ["redis-users.acl", "redis-health"]
    assert SERVICES["grafana"]["secrets"] == ["grafana-admin"]
    assert "secrets" not in SERVICES["prometheus"]


def test_secrets_stay_as_they_are_until_they_are_removed(tmp_path: Path) -> None:
    folder = make_secrets(tmp_path / "secrets")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(re.fullmatch("[0-9a-f]{48}", text) for name, text in before.items() if name != "redis-users.acl")
    passwords = [text for name, text in before.items() if name != "redis-users.acl"]
    assert len(set(passwords)) == len(passwords)
    assert not any(password in before["redis-users.acl"] for password in passwords)
    (folder / "redis-node").unlink()
    after = {path.name: path.read_text() for path in make_secrets(folder).iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"redis-node", "redis-users.acl"}


def test_no_secret_can_be_committed_or_get_into_the_image() -> None:
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert not any("secrets" in line for line in lines if line.startswith("!"))


@every_service_of_ours
def test_every_variable_is_one_that_the_code_reads(name: str, tmp_path: Path) -> None:
    given = {variable: value or "" for variable, value in SERVICES[name].get("environment", {}).items()}
    foreign = OTHERS_VARIABLES.get(name, "-")
    assert {variable for variable in given if not variable.startswith(foreign)} <= {
        field.upper() for field in Settings.model_fields
    }
    assert not any(":" in value.partition("://")[2].rpartition("@")[0] for value in given.values()), "a password"
    (tmp_path / "password").write_text("secret")
    here = {n: re.sub("/run/secrets/.*", str(tmp_path / "password"), value) for n, value in given.items()}
    settings = Settings.from_environment(here)
    if user := OURS[name]:
        urls = [url for url in (given.get("REDIS_URL"), given.get("CELERY_BROKER_URL")) if url]
        assert all(url.startswith(f"redis://{user}@redis:6379/") for url in urls)
        files = [value for variable, value in given.items() if variable.endswith("_PASSWORD_FILE")]
        assert files == [f"/run/secrets/redis-{user}"] * len(urls)
        assert "secret" in settings.redis_url + settings.celery_broker_url


def test_variables_of_the_caller_reach_the_roles() -> None:
    theirs = {
        "SYMBOLS": "BTCUSDT,ETHUSDT",
        "NT_LOG_LEVEL": "DEBUG",
        "NT_EXCHANGE_WS_URL": "wss://stream.binance.com:9443",
        "NT_EXCHANGE_REST_URL": "https://api.binance.com",
        "NT_VENUE_URLS": "okx.ws=wss://ws.okx.com:8443",
    }
    called = services(theirs)
    for name in OURS:
        environment = called[name].get("environment", {})
        assert {n: v for n, v in environment.items() if n in theirs} == {
            n: theirs[n] for n in theirs if n in environment
        }
    assert called["beat-1"]["environment"]["SYMBOLS"] == theirs["SYMBOLS"]
    assert called["ingest-1"]["environment"]["NT_EXCHANGE_WS_URL"] == theirs["NT_EXCHANGE_WS_URL"]
    assert called["ingest-1"]["environment"]["NT_EXCHANGE_REST_URL"] == theirs["NT_EXCHANGE_REST_URL"]
    assert called["ingest-1"]["environment"]["NT_VENUE_URLS"] == theirs["NT_VENUE_URLS"]
    assert SERVICES["web"]["environment"]["NT_WEB_TOKEN_FILE"] is None, "passed on where it is set"
    words = command(called["simulator"])
    assert words[words.index("--symbols") + 1] == "BTCUSDT,ETHUSDT"


@every_service_of_ours
def test_every_command_is_one_that_the_code_accepts(name: str) -> None:
    words = command(SERVICES[name])
    if words[:2] == ["sh", "-c"]:
        words = words[2].removeprefix("exec ").split()
    accept(words)


@pytest.mark.parametrize(
    "words", ["celery -A tasks worker -R x", "celery -A tasks flower --adress=x", "python -m tasks"]
)
def test_a_wrong_command_is_found(words: str) -> None:
    with pytest.raises((click.ClickException, AssertionError, pytest.fail.Exception)):
        accept(words.split())


def test_nodes_consume_queues_that_the_access_list_knows() -> None:
    for name, user in OURS.items():
        if user == "node":
            words = " ".join(command(SERVICES[name]))
            assert re.search(rf"-Q {name}$" if name != "node" else r"-Q node-\$HOSTNAME$", words)
    assert command(SERVICES["batch"])[-1].endswith(" -Q node-$HOSTNAME.batch")


def test_what_is_mounted_is_there_and_read_only() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert rest.endswith(":ro"), f"{name}: {volume}"
            else:
                assert source in compose_file()["volumes"]


def test_recordings_outlive_the_containers_and_each_recorder_has_its_own_log() -> None:
    mounted = {name: service.get("volumes", []) for name, service in SERVICES.items()}
    everyone = {name for name, volumes in mounted.items() if any(v.startswith("recordings:") for v in volumes)}
    assert everyone == {"recorder-1", "recorder-2", "batch", "web"}
    assert mounted["web"] == ["recordings:/recordings:ro"]
    for name in ("recorder-1", "recorder-2"):
        assert mounted[name] == ["recordings:/recordings", f"{name}-wal:/recorder-wal"]
        told = SERVICES[name]["environment"]
        assert (told["NT_RECORDINGS"], told["NT_RECORDER_WAL"]) == ("/recordings", "/recorder-wal")
    made = re.search(r"install --directory --owner tickfence .*", (ROOT / "Dockerfile").read_text())
    assert made and made[0].endswith(" /recordings /recorder-wal"), "or the volumes belong to root"


def test_a_recorder_has_the_time_that_it_takes_to_end() -> None:
    pods = [
        one for one in yaml.safe_load_all((ROOT / "deploy/k8s/recorder.yaml").read_text()) if "template" in one["spec"]
    ]
    given = [pod["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] for pod in pods]
    given += [int(SERVICES[name]["stop_grace_period"].removesuffix("s")) for name in ("recorder-1", "recorder-2")]
    assert len(given) == 3 and min(given) >= FINISH_WITHIN_S + 5


def test_a_batch_worker_has_the_time_that_it_takes_to_end_while_redis_is_frozen() -> None:
    steps = 8  # that ask the broker: acknowledge, close four channels, tell Flower, hand back what was not begun
    waits = steps * int(str(celeryconfig.broker_transport_options["socket_timeout"]))
    assert int(compose_file()["services"]["batch"]["stop_grace_period"].removesuffix("s")) >= waits + 10


def test_beats_ingests_and_recorders_have_the_names_of_their_services() -> None:
    named = {name: one["environment"].get("NT_NAME") for name, one in services().items() if "environment" in one}
    assert {name for name, given in named.items() if given} == {
        name for name in OURS if name[:-1] in ("beat-", "ingest-", "recorder-", "alerts-")
    }
    assert all(given in (name, None) for name, given in named.items())


def test_prometheus_scrapes_the_services_by_their_names_and_ports() -> None:
    file: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    targets = {
        target
        for job in file["scrape_configs"]
        for group in job.get("static_configs", [])
        for target in group["targets"]
    }
    for job in file["scrape_configs"]:
        for group in job.get("dns_sd_configs", []):
            targets |= {f"{name}:{group['port']}" for name in group["names"]}
    expected = {f"{name}:{METRICS_PORTS[user]}" for name, user in OURS.items() if user in METRICS_PORTS}
    assert expected == targets
    for target in targets:
        assert target.partition(":")[0] in SERVICES, target
        assert SERVICES[target.partition(":")[0]]["environment"].get("NT_METRICS_HOST", "0.0.0.0") == "0.0.0.0"


def test_the_image_runs_as_the_user_that_the_services_name() -> None:
    text = (ROOT / "Dockerfile").read_text()
    user = re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1]
    assert {SERVICES[name]["user"] for name in OURS} == {user}
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    images = [*bases, *(service["image"] for service in SERVICES.values() if service["image"] != "tickfence")]
    assert all(image.startswith("docker.io/") and ":" in image for image in images)
