"""Scores depend on the names alone, spread evenly, and follow the weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickfence.coordination.hrw import scores

ROOT = Path(__file__).parents[2]
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
UNIQUE = st.lists(NAMES, min_size=1, max_size=12, unique=True)
SYMBOLS = [f"S{i}USDT" for i in range(4000)]


def test_scores_are_these_for_ever() -> None:
    """Two releases that run side by side must agree on who owns what."""
    golden = [
        [0.29247143166239886, 0.3803090966108373, 0.8529553704179509],
        [0.6085307546416849, 0.8253632123196046, 1.4291940937667411],
        [107.3984746294162, 5.318867637498317, 8.735903844345764],
    ]
    found = scores(["BTCUSDT", "ETHUSDT", "DOTUSDT"], ["node-001", "node-002", "node-003"])
    assert found == pytest.approx(np.array(golden), rel=1e-12)
    assert scores(["BTCUSDT"], ["node-001", "node-002"], [1, 2])[0, 1] == pytest.approx(2 * 0.3803090966108373)


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_every_process_computes_the_same(seed: str) -> None:
    symbols, nodes = ["BTCUSDT", "ETHUSDT", "Δ"], ["node-001", "b", "ノード"]
    program = (
        "import json, sys; from tickfence.coordination.hrw import scores; "
        "print(json.dumps(scores(*json.loads(sys.argv[1])).tolist()))"
    )
    printed = subprocess.check_output(
        [sys.executable, "-c", program, json.dumps([symbols, nodes])],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert json.loads(printed) == scores(symbols, nodes).tolist()


@given(UNIQUE, UNIQUE, st.randoms())
def test_a_pair_scores_the_same_in_any_company(symbols: list[str], nodes: list[str], random) -> None:
    whole = scores(symbols, nodes)
    rows, columns = list(range(len(symbols))), list(range(len(nodes)))
    random.shuffle(rows)
    random.shuffle(columns)
    mixed = scores([symbols[r] for r in rows], [nodes[c] for c in columns])
    assert (mixed == whole[np.ix_(rows, columns)]).all()
    assert scores([symbols[0]], [nodes[-1]])[0, 0] == whole[0, -1]
    assert (np.isfinite(whole) & (whole > 0)).all()


def test_a_node_of_three_times_the_weight_wins_three_times_as_often() -> None:
    nodes, weights = ["a", "b", "c"], [1.0, 2.0, 3.0]
    wins = np.bincount(scores(SYMBOLS, nodes, weights).argmax(axis=1), minlength=3)
    for won, weight in zip(wins, weights, strict=True):
        p = weight / sum(weights)
        assert abs(won - len(SYMBOLS) * p) < 4 * (len(SYMBOLS) * p * (1 - p)) ** 0.5


@pytest.mark.parametrize("count", [2, 5, 16])
def test_names_that_differ_in_one_character_share_evenly(count: int) -> None:
    nodes = [f"node-{i:03d}" for i in range(1, count + 1)]
    wins = np.bincount(scores(SYMBOLS, nodes).argmax(axis=1), minlength=count)
    p = 1 / count
    assert (abs(wins - len(SYMBOLS) * p) < 4.5 * (len(SYMBOLS) * p * (1 - p)) ** 0.5).all()


@given(UNIQUE, UNIQUE, st.data())
def test_a_heavier_node_only_wins_symbols_and_a_lighter_one_only_loses_them(
    symbols: list[str], nodes: list[str], data: st.DataObject
) -> None:
    changed = data.draw(st.sampled_from(range(len(nodes))))
    weights = [1.0] * len(nodes)
    before = scores(symbols, nodes, weights).argmax(axis=1)
    weights[changed] = 2.5
    after = scores(symbols, nodes, weights).argmax(axis=1)
    assert (after[before != after] == changed).all()


def test_no_symbols_or_no_nodes_is_an_empty_table() -> None:
    assert scores([], ["a"]).shape == (0, 1)
    assert scores(["A"], []).shape == (1, 0)


@pytest.mark.parametrize("weights", [[0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0], [1.0], [1.0, 1.0, 1.0]])
def test_weights_must_be_positive_and_one_a_node(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0 for each of 2 nodes"):
        scores(["BTCUSDT"], ["a", "b"], weights)
