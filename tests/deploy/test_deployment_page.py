"""The commands that docs/deployment.md shows name what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from celery.bin.celery import celery

from tests.deploy.compose_file import ROOT, compose_file, services

PAGE = (ROOT / "docs" / "deployment.md").read_text()
COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()

VERBS = {"up", "ps", "stop", "start", "kill", "pause", "unpause", "restart", "exec", "down"}


def commands(beginning: str) -> Iterator[list[str]]:
    """Command lines on the page that hold ``beginning``, as words from there on."""
    fenced = "\n".join(re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    for text in (*fenced.splitlines(), *re.findall("`([^`\n]+)`", PAGE)):
        if beginning in text:
            yield text[text.index(beginning) :].split()


def test_compose_commands_name_services_that_there_are() -> None:
    shown = list(commands("docker compose "))
    assert len(shown) > 10
    for _, _, verb, *rest in shown:
        assert verb in VERBS, verb
        words = rest if verb != "exec" else rest[:1]
        named = [word.partition("=")[0] for word in words if not word.startswith("--")]
        assert set(named) <= services().keys(), rest
        if verb == "exec" and rest[1] == "celery":
            assert rest[4] in {*celery.commands, "owners", "nodes", "explain", "timeline"}


def test_network_commands_name_the_network_and_a_container() -> None:
    project = compose_file()["name"]
    shown = {words[2]: words[3:] for words in commands("docker network ")}
    assert shown.keys() == {"connect", "disconnect"}
    for *alias, network, container in shown.values():
        assert network.removeprefix(f"{project}_") in compose_file()["networks"]
        service = re.fullmatch(rf"{project}-(.+)-1", container)[1]  # type: ignore[index]
        assert service in services()
        assert alias in ([], ["--alias", service])
    assert "--alias" in shown["connect"], "else it has lost the name that Prometheus knows it by"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", PAGE, re.MULTILINE))))
def test_variables_of_the_page_are_those_of_the_file(name: str) -> None:
    for variable in re.findall("[A-Z_]+", name):
        assert f"${{{variable}:-" in COMPOSE_FILE or f" {variable}:  #" in COMPOSE_FILE, variable


def test_all_variables_of_the_file_are_on_the_page() -> None:
    for variable in re.findall(r"\$\{(\w+):-", COMPOSE_FILE):
        assert f"`{variable}`" in PAGE, variable


def test_addresses_are_those_that_are_published() -> None:
    published = {port.split(":")[1] for service in services().values() for port in service.get("ports", [])}
    assert set(re.findall(r"http://127\.0\.0\.1:(\d+)", PAGE)) == published


def test_scripts_and_files_of_the_page_are_there() -> None:
    for name in re.findall(r"`(?:sh )?((?:deploy|monitoring)/[\w./-]+)`", PAGE):
        assert (ROOT / name).exists(), name
