"""Every PromQL expression of every page is valid and names metrics that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.docs.pages import PAGES, promql
from tests.monitoring.promql import exposed, names
from tests.monitoring.promtool import promtool

EXPRESSIONS = {page.name: promql(page.read_text()) for page in PAGES}


@pytest.mark.parametrize("page", [name for name, expressions in EXPRESSIONS.items() if expressions])
def test_each_expression_names_metrics_that_exist(page: str) -> None:
    bases = {name.removesuffix("_bucket") for name in exposed()}
    for expression in EXPRESSIONS[page]:
        assert set() < names(expression) <= exposed() | bases, expression


def test_each_expression_is_promql(tmp_path: Path) -> None:
    different = sorted({expression for expressions in EXPRESSIONS.values() for expression in expressions})
    assert len(different) > 50
    records = [{"record": f"look:{number}", "expr": expression} for number, expression in enumerate(different)]
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": records}]}))
    promtool("check", "rules", str(rules))
