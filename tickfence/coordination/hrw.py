"""Highest Random Weight (rendezvous) hashing.

Every symbol has a score on every node, which depends on the two names alone. The node with the highest score wins. When
a node leaves, only its own symbols move. When a node joins, it takes 1/N of the symbols, and no other symbol moves. (The limits in
:mod:`tickfence.coordination.assignment` may move a few more.)

Sources: D. Thaler, C. Ravishankar, "Using name-based mappings to increase hit rates" (1998), for the scheme;
C. Schindelhauer, G. Schomaker, "Weighted distributed hash tables" (2005), for the logarithmic method of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from tickfence.instrument import Instrument

Scores = NDArray[np.float64]
_Words = NDArray[np.uint64]


def scores(symbols: Sequence[Instrument], nodes: Sequence[str], weights: Sequence[float] | None = None) -> Scores:
    """Scores of every symbol on every node; in each row the highest wins.

    The score is ``-w / ln(u)``, where ``u`` is the pair's hash as a number in (0, 1) and ``w`` the node's weight. A
    node of twice the weight wins twice as many symbols. The same names have the same scores on every host and in every
    process.

    Args:
        symbols: one a row.
        nodes: one a column.
        weights: one for each node, above 0; default 1 each.

    Raises:
        ValueError: a weight is not above 0, or there is not one for each node.

    Example:
        >>> scores(["BTCUSDT"], ["node-001", "node-002"]).argmax(axis=1)
        array([1])
    """
    heavy = np.ones(len(nodes)) if weights is None else np.asarray(weights, dtype=np.float64)
    if heavy.shape != (len(nodes),) or not (heavy > 0).all():
        raise ValueError(f"weights {weights!r} must be one number above 0 for each of {len(nodes)} nodes")
    pairs = _mix(_names(symbols)[:, None] ^ _mix(_names(nodes))[None, :])
    uniform = ((pairs >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return -heavy / np.log(uniform)


def _names(names: Sequence[str]) -> _Words:
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _mix(words: _Words) -> _Words:
    """Finalizer of MurmurHash3 (A. Appleby, public domain): every input bit flips each output bit half the time."""
    words = words ^ (words >> np.uint64(33))
    words = words * np.uint64(0xFF51AFD7ED558CCD)
    words = words ^ (words >> np.uint64(33))
    words = words * np.uint64(0xC4CEB9FE1A85EC53)
    return words ^ (words >> np.uint64(33))
