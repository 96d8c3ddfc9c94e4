"""The file of rules: what it means, and one clear line for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tickfence.alerts.rules import BadRules, Rule, load
from tickfence.alerts.watch import UNSEEN_MS, Watch

TARGET = '[targets.desk]\nwebhook = "https://desk.example/hook"\nsecret_file = "{secret}"\n'
RULE = '[rules.wide]\nfield = "spread_bps"\ntargets = ["desk"]\n'


def written(folder: Path, text: str) -> str:
    (folder / "secret").write_text("0123456789abcdef\n")
    path = folder / "rules.toml"
    path.write_text(text.replace("{secret}", str(folder / "secret")))
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", r"rules\.toml: Expected|rules\.toml: .*(line 1|end of document)"),
        (TARGET + RULE, r"rules\.wide: must have one of above, below, equals"),
        (TARGET + RULE + "above = 1\nbelow = 2", r"rules\.wide: must have one of above, below, equals"),
        (TARGET + RULE + 'above = "x"', r": rules\.wide: Expected `float \| null`, got `str` - at `\$\.above`"),
        (TARGET + RULE + "over = 1", r"unknown field `over`"),
        (TARGET + RULE + "above = 1\nclear = 2", r"rules\.wide: clear must not lie beyond the limit"),
        (TARGET + RULE + "below = 2\nclear = 1", r"rules\.wide: clear must not lie beyond the limit"),
        (TARGET + RULE + 'equals = "x"\nclear = 1', r"rules\.wide: clear goes with above or below only"),
        (TARGET + RULE + "above = 1\nfor_s = -1", r"`float` >= 0"),
        (TARGET + RULE.replace('"spread_bps"', '"a..b"') + "above = 1", r"rules\.wide: field=a\.\.b: must be names"),
        (RULE + "above = 1", r"rules\.wide: targets: there is no target desk; there are none"),
        (RULE.replace('["desk"]', "[]") + "above = 1", r"length >= 1"),
        ("[targets.desk]", r"targets\.desk: must have either webhook or apprise_file"),
        ('[targets.desk]\nwebhook = "desk"', r"targets\.desk: webhook: must be a URL"),
        ('[targets.desk]\nwebhook = "https://a.example:port/x"', r"targets\.desk: webhook: must be a URL"),
        (
            TARGET + RULE.replace('["desk"]', '["desk", "desk"]') + "above = 1",
            r"rules\.wide: targets: each of them once",
        ),
        (TARGET + RULE + "above = 1\nclear = nan", r"rules\.wide: a limit must be a finite number"),
        ('[targets.desk]\nwebhook = "https://a.example"', r"targets\.desk: must have secret_file"),
        (TARGET.replace("{secret}", "/nowhere"), r"targets\.desk: secret_file=/nowhere: must be a file"),
        ('[targets."a b"]\nwebhook = "https://a.example"', r"targets\.a b: a name must match"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadRules, match=said) as raised:
        load(written(tmp_path, text))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "rules.toml"))


def test_the_page_and_the_deployment_have_rules_that_are_accepted(tmp_path: Path) -> None:
    shown = [text for _, text in blocks((ROOT / "docs" / "alerts.md").read_text()) if "[rules." in text]
    text = re.sub(r'"/run/secrets/[\w-]+"', '"{secret}"', "\n".join(shown))
    rules = load(written(tmp_path, text))
    assert len(rules.rules) >= 3
    assert {name for rule in rules.rules.values() for name in rule.targets} == rules.targets.keys()
    text = (ROOT / "deploy" / "alerts" / "rules.toml").read_text()
    assert load(written(tmp_path, text.replace("/run/secrets/alerts-webhook", "{secret}"))).rules


def seen(rule: Rule, *reports: tuple[int, dict | None]) -> list[int]:
    watch = Watch(rule)
    return [at_ms for at_ms, report in reports if watch.fires(report, at_ms) is not None]


def test_it_must_hold_without_a_break_for_as_long_as_the_rule_says() -> None:
    rule = Rule("spread_bps", ["desk"], above=10.0, for_s=2.0)
    wide, narrow = {"spread_bps": 10.1}, {"spread_bps": 10.0}
    assert seen(rule, (0, wide), (1_999, wide), (2_000, wide)) == [2_000]
    for broken in (narrow, {}, None):
        assert seen(rule, (0, wide), (1_000, broken), (2_000, wide), (3_999, wide), (4_000, wide)) == [4_000]
    assert seen(rule, (0, wide), (UNSEEN_MS + 1, wide), (UNSEEN_MS + 2_001, wide)) == [UNSEEN_MS + 2_001]


def test_what_fires_and_what_keeps_firing() -> None:
    rule = Rule("liquidity.walls[side=bid].qty", ["desk"], above=10.0, clear=5.0)

    def met(*walls: tuple[str, float], firing: bool) -> list | None:
        found = [{"side": side, "qty": qty} for side, qty in walls]
        return rule.met_by({"liquidity": {"walls": found}}, firing=firing)

    assert met(("ask", 99.0), ("bid", 10.0), firing=False) == []
    assert met(("ask", 99.0), ("bid", 10.0), firing=True) == [10.0]
    assert met(("bid", 11.0), ("bid", 12.0), firing=False) == [11.0, 12.0]
    assert met(firing=True) == []
    assert rule.met_by({"liquidity": {}}, firing=True) is None
    low = Rule("health.score", ["desk"], below=50.0, clear=60.0)
    assert [low.met_by({"health": {"score": 55}}, firing=firing) for firing in (False, True)] == [[], [55]]
    assert Rule("open", ["desk"], above=0.5).met_by({"open": True}, firing=False) == []
    assert Rule("numbers[side=bid]", ["desk"], above=0.5).met_by({"numbers": [1.0]}, firing=False) == []
    kind = Rule("anomalies.type", ["desk"], equals="spoofing", symbols=["okx:*", "BTCUSDT"])
    assert kind.met_by({"anomalies": [{"type": "iceberg"}, {"type": "spoofing"}]}, firing=False) == ["spoofing"]
    assert [kind.concerns(symbol) for symbol in ("BTCUSDT", "okx:BTC-USDT", "ETHUSDT")] == [True, True, False]
