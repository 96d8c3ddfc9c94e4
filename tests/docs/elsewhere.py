"""Commands of the pages that are not run as they stand: why not, and what is tried instead."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.deploy.accepted import accept
from tests.deploy.compose_file import compose_file, services
from tests.docs.pages import ROOT
from tests.redis_groups import SERVICE, ClusterGroup, SentinelGroup
from tickfence.settings import Settings
from tools.benchmarks.__main__ import parser as benchmarks_parser
from tools.chaos.__main__ import parser as chaos_parser
from tools.chaos.faults import CHOSEN
from tools.local.embedded_redis import EmbeddedRedis, find_cli

KUBERNETES = ROOT / "deploy" / "k8s"
COMPOSE_VERBS = {"up", "ps", "stop", "start", "kill", "pause", "unpause", "restart", "exec"}


@dataclass(frozen=True)
class Elsewhere:
    """A kind of command.

    Attributes:
        pattern: what the whole command matches.
        why: it is not run as it stands.
        instead: is given the command, and fails if it is wrong.
    """

    pattern: str
    why: str
    instead: Callable[[str], None]


def recipe(command: str) -> None:
    """The target exists, and what it runs is there; variables before it are settings."""
    *given, _, target = command.split()
    environment = dict(word.split("=", 1) for word in given)
    assert {name.lower() for name in environment} <= Settings.model_fields.keys()
    Settings.from_environment(environment)
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for module in re.findall(r"-m (\w+)", done.stdout):
        assert (ROOT / module).is_dir() or importlib.util.find_spec(module), module
    for file in re.findall(r"\S+\.(?:py|sh)\b", done.stdout):
        assert (ROOT / file).exists(), file


def campaign(command: str) -> None:
    """`chaos` takes the arguments, and knows the faults."""
    words = [word.removeprefix("ARGS=") for word in shlex.split(command)[2:]]
    given = chaos_parser().parse_args(shlex.split(" ".join(words)))
    assert {name for name in given.only.split(",") if name} <= set(CHOSEN)


def benchmark(command: str) -> None:
    """The module exists; `benchmarks` itself takes the arguments."""
    _, _, module, *rest = command.split()
    assert (ROOT / f"{module.replace('.', '/')}.py").exists() or (ROOT / module).is_dir(), module
    if rest:
        benchmarks_parser().parse_args(rest)


def accepted(command: str) -> None:
    """The program's own parser takes the arguments."""
    accept(command.split())


def deployment(command: str) -> None:
    """Service, network, container and file names are those of docker-compose.yml and of the Dockerfile."""
    for one in command.split(" && "):
        words = one.split()[1:]
        while words[0] != "compose" and "=" in words[0]:  # variables before it
            words = words[1:]
        match words if words[0] != "docker" else words[1:]:
            case ["compose", verb, *rest] | [("up") as verb, *rest]:
                _compose(verb, rest)
            case ["network", "disconnect", network, container]:
                _network(network, container)
            case ["network", "connect", "--alias", service, network, container]:
                # Without the alias it has lost the name that Prometheus knows it by.
                assert _network(network, container) == service
            case ["build", *rest]:
                assert rest[-1] == "." and (ROOT / "Dockerfile").exists()
                for secret in re.findall(r"--secret id=(\w+)", one):
                    assert f"--mount=type=secret,id={secret}" in (ROOT / "Dockerfile").read_text()
            case ["push", _] | ["info"] | ["healthcheck", "run", "<container>"] | ["rm", "--force", "<container>"]:
                pass
            case _:
                pytest.fail(f"{one}: not known")


def _compose(verb: str, rest: list[str]) -> None:
    assert verb in COMPOSE_VERBS, verb
    words = rest if verb != "exec" else rest[:1]
    named = [word.partition("=")[0] for word in words if not word.startswith("--")]
    assert set(named) <= services().keys(), rest
    if verb == "exec" and rest[1] == "celery":
        accept(rest[1:])


def _network(network: str, container: str) -> str:
    project = str(compose_file()["name"])
    assert network.removeprefix(f"{project}_") in compose_file()["networks"]
    found = re.fullmatch(rf"{project}-(.+)-1", container)
    assert found and found[1] in services(), container
    return found[1]


def each_bridge(command: str) -> None:
    """It is shell, and of all networks that there are."""
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True)
    assert set(re.findall(r"tickfence_(\w+)", command)) == compose_file()["networks"].keys()


def cluster(command: str) -> None:
    """Namespace, workloads, ports and folders are those of deploy/k8s."""
    words = command.split()
    namespace = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["namespace"]
    documents = [one for path in KUBERNETES.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]
    named = {(one["kind"].lower(), one["metadata"]["name"]): one for one in documents if "metadata" in one}
    if words[1] == "--namespace":
        assert words[2] == namespace
        del words[1:3]
    match words[1:]:
        case ["create", "namespace", name]:
            assert name == namespace
        case ["create", "secret", "generic", name, "--from-file=secrets"]:
            assert f"secretName: {name}\n" in "".join(path.read_text() for path in KUBERNETES.glob("*.yaml"))
        case ["apply", "--kustomize", folder]:
            assert (ROOT / folder / "kustomization.yaml").exists()
        case ["scale", kind, name, "--replicas", number]:
            assert (kind, name) in named and int(number) > 0
        case ["port-forward", target, ports]:
            served = [port["port"] for port in named[*target.split("/")]["spec"]["ports"]]  # type: ignore[index]
            assert int(ports.split(":")[1]) in served
        case _:
            pytest.fail(f"{command}: not known")


def on_sentinel(command: str) -> None:
    """Run with a real Sentinel, which names its master."""
    with SentinelGroup() as group:
        asked = command.replace("26379", str(group.sentinel.port)).replace("<service>", SERVICE)
        assert str(group.first.port) in _redis_cli(asked)


def on_a_cluster(command: str) -> None:
    """Run with a real cluster, of which nothing is to be mended."""
    with ClusterGroup() as group:
        asked = command.replace("<host>:<port>", f"127.0.0.1:{group.masters[0].port}")
        assert "All 16384 slots covered" in _redis_cli(asked)


def on_an_own_redis(command: str) -> None:
    """Run where it does no harm: of market data and more only the market data goes."""
    with EmbeddedRedis() as server, server.client() as client:
        client.mset({"md:{BTCUSDT}:trades": "", "md:{BTCUSDT}:book": "", "report:BTCUSDT": "", "nt:assignment": ""})
        _redis_cli(command.replace("redis-cli", f"redis-cli -p {server.port}"))
        assert sorted(client.keys()) == [b"nt:assignment", b"report:BTCUSDT"]


def _redis_cli(command: str) -> str:
    typed = command.replace("redis-cli", str(find_cli()))
    done = subprocess.run(typed, shell=True, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installs_in_place(command: str) -> None:
    """The program that makes .venv, and the image, use the same words."""
    options = set(command.split()[2:-2])
    for file in ("tools/local/install.sh", "Dockerfile"):
        assert any(options <= set(line.split()) for line in (ROOT / file).read_text().splitlines()), file


def by_rabbitmqs_test(command: str) -> None:
    """`tests/e2e/test_rabbitmq.py` takes it from the pages."""
    assert 'startswith("rabbitmq")' in Path(ROOT / "tests" / "e2e" / "test_rabbitmq.py").read_text(), command


ELSEWHERE = [
    Elsewhere(
        "((NT_|SYMBOLS).*)?make run", "the stack beside which all others are run: tests/docs/checkout.py", recipe
    ),
    Elsewhere("make (test|lint)", "what .ci/run does", recipe),
    Elsewhere("make bench", "takes half an hour", recipe),
    Elsewhere("make lock", "asks a package index", recipe),
    Elsewhere("make compose-test", "needs a container engine, and minutes", recipe),
    Elsewhere("make chaos.*", "takes minutes; tests/tools/chaos/test_campaign.py runs short ones", campaign),
    Elsewhere(r"python -m tools.benchmarks( --only \S+|\.calculators|\.side_by_side)", "takes minutes", benchmark),
    Elsewhere("python -m (web|simulator)", "run with a port of its own", accepted),
    Elsewhere("celery -A tasks events", "Celery's own monitor, which needs a terminal", accepted),
    Elsewhere("for bridge .*", "changes this machine's network: make compose-test runs it", each_bridge),
    Elsewhere(".*docker .*|podman.*", "needs a container engine: make compose-test runs them", deployment),
    Elsewhere("kubectl .*", "needs a cluster", cluster),
    Elsewhere("redis-cli -p 26379 .*", "needs a Sentinel", on_sentinel),
    Elsewhere("redis-cli --cluster .*", "needs a cluster", on_a_cluster),
    Elsewhere("redis-cli --scan .* UNLINK", "deletes what the other commands look at", on_an_own_redis),
    Elsewhere("rabbitmq.*", "needs a RabbitMQ", by_rabbitmqs_test),
    Elsewhere("pip install .*", "changes the environment that the tests run in", installs_in_place),
]


def elsewhere(command: str) -> list[Elsewhere]:
    """The kinds that a command is of: at most one, if the table is right."""
    return [one for one in ELSEWHERE if re.fullmatch(one.pattern, command)]
