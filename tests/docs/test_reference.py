"""The pages made from the code are in step with it."""

from __future__ import annotations

from types import ModuleType

import pytest

from tools.reference import api, cli, report_fields, report_page


@pytest.mark.parametrize("source", [api, cli, report_fields, report_page], ids=lambda source: source.PAGE.name)
def test_the_page_is_what_the_code_says(source: ModuleType) -> None:
    assert source.PAGE.read_text() == source.page(), "run: make reference"
