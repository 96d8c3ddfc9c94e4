"""The variables, addresses and files that docs/deployment.md name are there."""

from __future__ import annotations

import re

import pytest

from tests.deploy.compose_file import ROOT, services

PAGE = (ROOT / "docs" / "deployment.md").read_text()
COMPOSE_FILE = (ROOT / "docker-compose.yml").read_text()


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
