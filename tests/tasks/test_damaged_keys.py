"""Random damage to every key of one symbol: the other symbol's reports are true, and its own are valid or not there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

import msgspec
import pytest
import redis

from tasks.cycles import FAST, SLOW
from tests.tasks.cycle_runs import KEYS, Counted, MakeNode, S, report, run
from tests.tasks.market import Market
from tickfence.analytics.report import Report
from tickfence.streams import codec

OTHER = "ETHUSDT"
MARKETS, CYCLES = 40, 8

TEXTS = [
    *(b"", b"0", b"-1", b"1", b"nan", b"inf", b"1e308", b"1e-320", b"9" * 30, b"x", b"\xff\xfe", b"null", b"{}"),
    *(b"9223372036854775808", b"18446744073709551615", b"[]", b"[[1,2]]", b"[[-1,2]]", b"[[0,0]]", b"[[1e308,1e308]]"),
]
FAR_TIMES = (2**63 - 1, 2**63, 2**64 - 1)


class Damage:
    """Damages one key of the symbol at a time."""

    def __init__(self, client: redis.Redis, market: Market, random: Random) -> None:
        self.client, self.market, self.random = client, market, random
        self.kinds: list[Callable[[], object]] = [
            lambda: self.entry(KEYS.trades(S), {"p": "100", "q": "1", "s": "b", "r": "1"}),
            lambda: self.entry(KEYS.book(S), {"U": "0", "b": "[]", "a": "[[101.5,3]]", "r": "1"}),
            lambda: self.hash(KEYS.ticker(S), codec.TICKER_FIELDS),
            lambda: self.hash(KEYS.info(S), codec.INFO_FIELDS),
            lambda: self.hash(KEYS.lease(S), ("owner", "node", "token", "generation", "seq", "until")),
            lambda: self.bytes_of(random.choice([KEYS.snapshot(S), KEYS.slow(S), KEYS.carry(S)])),
            self.retype,
            lambda: self.client.delete(self.any_key()),
        ]

    def strike(self) -> None:
        """Do it."""
        with contextlib.suppress(redis.ResponseError):  # the key has another type by now, or a higher id
            self.random.choice(self.kinds)()

    def any_key(self) -> str:
        hashes = KEYS.ticker(S), KEYS.info(S), KEYS.lease(S)
        return self.random.choice([KEYS.trades(S), KEYS.book(S), KEYS.snapshot(S), *KEYS.of_node(S), *hashes])

    def entry(self, key: str, fields: dict[str, str]) -> None:
        self.market.update_id += 1
        ms = self.random.choice((self.market.now_ms(), self.market.now_ms(), *FAR_TIMES))
        changed = {field: self.random.choice(TEXTS) for field in fields if self.random.random() < 0.2}
        values = fields | changed
        if "U" in values:
            values["U"] = str(self.market.update_id)
        self.client.xadd(key, values, id=f"{ms}-{self.market.update_id}")

    def hash(self, key: str, fields: tuple[str, ...]) -> None:
        self.client.hset(key, self.random.choice(fields), self.random.choice(TEXTS))

    def bytes_of(self, key: str) -> None:
        changed = bytearray(self.client.get(key) or self.random.choice(TEXTS))
        for _ in range(self.random.randint(1, 5) if changed else 0):
            changed[self.random.randrange(len(changed))] = self.random.randrange(256)
        self.client.set(key, bytes(changed))

    def retype(self) -> None:
        key = self.any_key()
        self.client.delete(key)
        self.random.choice(
            [
                lambda: self.client.set(key, self.random.choice(TEXTS)),
                lambda: self.client.hset(key, "a", "b"),
                lambda: self.client.lpush(key, "a"),
                lambda: self.client.xadd(key, {"a": "b"}),
            ]
        )()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(MARKETS))
def test_damage_to_one_symbol_is_felt_nowhere_else(node: MakeNode, redis_client: redis.Redis, seed: int) -> None:
    random = Random(seed)
    own, other = Market(redis_client, S), Market(redis_client, OTHER)
    damage, one, failed = Damage(redis_client, own, random), node(), Counted("nt_redis_errors_total", operation="cycle")
    for market in (own, other):
        market.open()
    for _ in range(CYCLES):
        for _ in range(random.randint(0, 2)):
            damage.strike()
        with contextlib.suppress(redis.ResponseError):
            own.diff()
            own.trade()
        other.diff()
        symbols = (S, OTHER) if random.random() < 0.5 else (OTHER, S)
        run(one, *symbols, cycle=random.choice((FAST, SLOW)))
        run(one, *symbols)
        assert failed() == 0
        assert report(redis_client, OTHER)["best_bid"]["qty"] == float(other.update_id)
        with contextlib.suppress(redis.ResponseError):
            written = redis_client.get(KEYS.report(S))
            if written and written.startswith(b'{"schemaVersion"'):
                msgspec.json.decode(written, type=Report)
