"""The Kubernetes example says what it should, and nothing that the code does not accept. No cluster is asked."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.accepted import accept
from tests.deploy.acl_redis import make_secrets
from tests.deploy.compose_file import ROOT, services
from tickfence.monitoring.probe import parser as probes_parser
from tickfence.settings import Settings

FOLDER = ROOT / "deploy" / "k8s"

Document = dict[str, Any]


def documents() -> list[Document]:
    """All that `kubectl apply` would be given."""
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((FOLDER / name).read_text())]


DOCUMENTS = documents()
RULES = (ROOT / "deploy" / "alerts" / "rules.toml").read_text()
BY_KIND = {
    kind: {d["metadata"]["name"]: d for d in DOCUMENTS if d["kind"] == kind} for kind in {d["kind"] for d in DOCUMENTS}
}
WORKLOADS = BY_KIND["Deployment"] | BY_KIND["StatefulSet"]
ROLES = ("ingest", "beat", "node", "web", "recorder", "alerts")
OURS = (*ROLES, "operator")
METRICS_PORTS = {"ingest": 9121, "beat": 9111, "node": 9101, "recorder": 9131, "alerts": 9151}

every_workload = pytest.mark.parametrize("name", WORKLOADS)
every_role = pytest.mark.parametrize("name", ROLES)


def container(name: str) -> Document:
    """The one container of a workload."""
    [found] = WORKLOADS[name]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def environment(name: str) -> dict[str, str]:
    """What a role's container is told; what only the cluster knows is left out."""
    [source] = container(name)["envFrom"]
    told: dict[str, str] = dict(BY_KIND["ConfigMap"][source["configMapRef"]["name"]]["data"])
    return told | {one["name"]: one["value"] for one in container(name)["env"] if "value" in one}


def test_every_file_is_applied() -> None:
    applied = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*applied, "kustomization.yaml"}


def test_keda_scales_the_nodes_by_metrics_that_there_are() -> None:
    scaled = yaml.safe_load((FOLDER / "keda" / "node.yaml").read_text())
    target, spec = scaled["spec"]["scaleTargetRef"], scaled["spec"]
    assert scaled["kind"] == "ScaledObject"
    assert target["name"] in BY_KIND[target["kind"]]
    assert spec["minReplicaCount"] == WORKLOADS[target["name"]]["spec"]["replicas"] < spec["maxReplicaCount"]
    documented = (ROOT / "docs" / "metrics.md").read_text()
    for trigger in spec["triggers"]:
        query = trigger["metadata"]["query"]
        assert query.count("(") == query.count(")")
        assert all(f"`{name}`" in documented for name in re.findall(r"nt_\w+", query))
        float(trigger["metadata"]["threshold"])


def test_there_are_as_many_of_each_as_should_be() -> None:
    replicas = {name: workload["spec"]["replicas"] for name, workload in WORKLOADS.items()}
    assert replicas == {
        **{"redis": 1, "ingest": 2, "beat": 2, "node": 3, "web": 2, "recorder": 2, "operator": 1},
        "alerts": 0,  # the rules name no webhook of yours
    }
    assert BY_KIND["PodDisruptionBudget"].keys() == set(ROLES)
    assert all(budget["spec"]["maxUnavailable"] == 1 for budget in BY_KIND["PodDisruptionBudget"].values())


@every_workload
def test_a_pod_has_few_rights_and_limits(name: str) -> None:
    pod, only = WORKLOADS[name]["spec"]["template"]["spec"], container(name)
    image = "tickfence" if name in OURS else services()["redis"]["image"]
    user = services()["web" if name in OURS else "redis"]["user"].split(":")[0]
    assert only["image"] == image
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == str(pod["securityContext"]["fsGroup"]) == user
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"].keys() == only["resources"]["requests"].keys() == {"cpu", "memory"}
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}


@every_workload
def test_names_within_a_workload_agree(name: str) -> None:
    template = WORKLOADS[name]["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert WORKLOADS[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    claims = {claim["metadata"]["name"] for claim in WORKLOADS[name]["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    assert {mount["name"] for mount in container(name)["volumeMounts"]} == volumes | claims
    written = {mount["name"] for mount in container(name)["volumeMounts"] if not mount.get("readOnly")}
    assert written == ({"tmp", "recordings", "wal"} if name == "recorder" else {"tmp"})
    for volume in template["spec"]["volumes"]:
        if "persistentVolumeClaim" in volume:
            assert volume["persistentVolumeClaim"]["claimName"] in BY_KIND["PersistentVolumeClaim"]
    ports = {port["name"] for port in container(name).get("ports", [])}
    for probe in [container(name)[kind] for kind in ("livenessProbe", "readinessProbe") if name != "operator"]:
        assert "exec" in probe or probe["httpGet"]["port"] in ports


def test_services_and_policies_select_pods_that_there_are() -> None:
    for document in DOCUMENTS:
        spec = document.get("spec", {})
        selector = {
            "Service": spec.get("selector"),
            "PodDisruptionBudget": spec.get("selector", {}).get("matchLabels"),
            "NetworkPolicy": spec.get("podSelector", {}).get("matchLabels"),
        }.get(document["kind"])
        if selector is not None:
            [name] = selector.values()
            assert selector == WORKLOADS[name]["spec"]["selector"]["matchLabels"]
            if document["kind"] == "Service":
                assert spec["ports"][0]["targetPort"] == container(name)["ports"][0]["name"]
            if document["kind"] == "NetworkPolicy":
                [rule] = spec["ingress"]
                assert [port["port"] for port in rule["ports"]] == [port["name"] for port in container(name)["ports"]]
                [admitted] = [peer["podSelector"]["matchLabels"] for peer in rule["from"]]
                for role in OURS:
                    assert admitted.items() <= WORKLOADS[role]["spec"]["template"]["metadata"]["labels"].items()
    for name in BY_KIND["StatefulSet"]:
        assert WORKLOADS[name]["spec"]["serviceName"] in BY_KIND["Service"]


@every_role
def test_every_command_is_one_that_the_code_accepts(name: str) -> None:
    accept(container(name)["command"])


def test_a_pods_name_is_its_queue() -> None:
    assert container("node")["command"][-2:] == ["-Q", "$(POD_NAME)"]
    named = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert named in container("node")["env"]
    assert f"{WORKLOADS['node']['metadata']['name']}-0".startswith("node-"), "as the access list wants it"


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_the_code_reads(name: str, tmp_path: Path) -> None:
    told = environment(name)
    assert told.keys() <= {field.upper() for field in Settings.model_fields}
    (tmp_path / "password").write_text("secret-enough-for-a-token")
    here = {n: re.sub("/run/secrets/.*", str(tmp_path / "password"), value) for n, value in told.items()}
    settings = Settings.from_environment(here)
    assert f"redis://{name}:" in settings.redis_url
    assert settings.celery_broker_url.startswith(
        f"redis://{name}:" if name in ("beat", "node") else "redis://localhost"
    )
    assert bool(settings.nt_web_token) == (name == "web")


@every_workload
def test_a_pod_gets_its_own_secrets_and_all_of_them_are_made(name: str, tmp_path: Path) -> None:
    volumes = WORKLOADS[name]["spec"]["template"]["spec"]["volumes"]
    [secret] = [volume["secret"] for volume in volumes if "secret" in volume]
    assert secret["secretName"] == "tickfence"
    keys = {item["key"] for item in secret["items"]}
    assert all(item["key"] == item["path"] for item in secret["items"])
    assert keys <= {path.name for path in make_secrets(tmp_path / "secrets").iterdir()}
    if name == "redis":
        assert keys == {"redis-users.acl", "redis-health"}
    else:
        files = {value for variable, value in environment(name).items() if variable.endswith("_FILE")}
        if name == "alerts":
            files |= {target["secret_file"] for target in tomllib.loads(RULES)["targets"].values()}
        assert {f"/run/secrets/{key}" for key in keys} == files
        assert f"redis-{name}" in keys


@every_role
def test_probes_ask_where_the_role_answers(name: str) -> None:
    only = container(name)
    port, *others = only["ports"]
    annotations = WORKLOADS[name]["spec"]["template"]["metadata"].get("annotations", {})
    if name in METRICS_PORTS:
        assert port == {"name": "metrics", "containerPort": METRICS_PORTS[name]}
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": str(METRICS_PORTS[name])}
        assert only["livenessProbe"]["httpGet"]["path"] == "/metrics"
    else:
        assert others == [{"name": "metrics", "containerPort": 9161}]
        assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9161"}
        assert only["command"][-1] == str(port["containerPort"])
        assert (only["livenessProbe"]["httpGet"]["path"], only["readinessProbe"]["httpGet"]["path"]) == (
            "/healthz",
            "/readyz",
        )
    if "exec" in only["readinessProbe"]:
        words = only["readinessProbe"]["exec"]["command"]
        assert words[:3] == ["python", "-m", "tickfence.monitoring.probe"]
        assert f":{port['containerPort']}/metrics" in probes_parser().parse_args(words[3:]).url


def test_the_rules_of_alerts_are_those_of_the_compose_file() -> None:
    assert BY_KIND["ConfigMap"]["alerts"]["data"]["rules.toml"] == RULES
    [mount] = [mount for mount in container("alerts")["volumeMounts"] if mount["name"] == "rules"]
    assert environment("alerts")["NT_ALERT_RULES"] == f"{mount['mountPath']}/rules.toml"


def test_redis_has_the_configuration_and_the_check_of_the_compose_file() -> None:
    assert BY_KIND["ConfigMap"]["redis"]["data"]["redis.conf"] == (ROOT / "deploy" / "redis" / "redis.conf").read_text()
    compose = services()["redis"]
    assert " ".join(container("redis")["command"]) == compose["command"]
    assert container("redis")["readinessProbe"]["exec"]["command"] == ["sh", "-c", compose["healthcheck"]["test"]]
