"""Faults of the exchanges, in the dialect of each."""

from __future__ import annotations

import time

from tickfence.instrument import split
from tools.chaos.gaps import TWO_PERIODS_MS
from tools.chaos.injector import FaultKind, Injector

# Rubbish that only its content gives away: the correct diffs connect before and after it.
RUBBISH = ("not-json", "wrong-types", "missing-fields", "nan", "infinity", "negative-price", "crossed", "huge")


NUMBERED = ("binance", "okx")
BACK_S = 75.0
"""Ingest subscribes again a minute after a refusal."""
TOO_MANY = "too many connections"
REFUSALS = {"60018": "does not exist", "60014": "too frequent", TOO_MANY: TOO_MANY}


def _exchange_drop(injector: Injector) -> None:
    at = injector.stack.exchange_fault("drop")
    if injector.of_venues("kraken"):
        injector.stack.exchange_fault("drop", "kraken")
    injector.await_recovery(injector.begin_fault("exchange-drop", at, injector.symbols, fresh=True))


def _exchange_skip(injector: Injector) -> None:
    symbol, count = injector.rng.choice(injector.of_venues(*NUMBERED)), injector.rng.randint(1, 3)
    at = injector.stack.exchange_fault("skip", symbol=symbol, count=count)
    time.sleep(0.1 * count)
    fault = injector.begin_fault(
        "exchange-skip", at, (symbol,), counts_from=at + 0.1 * count, fresh=True, note=f"{count} diffs"
    )
    injector.await_recovery(fault)


def _exchange_rubbish(injector: Injector) -> None:
    symbol, kind = injector.rng.choice(injector.of_venues(*NUMBERED)), injector.rng.choice(RUBBISH)
    # Not the connection of the reference books.
    ours = injector.stack.ingest_connections(split(symbol)[0])
    chosen = ours if injector.rng.random() < 0.5 else [injector.rng.choice(ours)]
    at = time.time()
    for connection in chosen:
        injector.stack.exchange_fault("rubbish", kind=kind, symbol=symbol, connection=connection)
    injector.await_recovery(injector.begin_fault("exchange-rubbish", at, (symbol,), fresh=True, note=kind))


def _exchange_pause(injector: Injector) -> None:
    seconds = injector.rng.uniform(0.5, 3.0)
    at = injector.stack.exchange_fault("pause", seconds=seconds)
    time.sleep(seconds)
    fault = injector.begin_fault("exchange-pause", at, injector.symbols, counts_from=at + seconds, fresh=True)
    injector.await_recovery(fault)


def _exchange_shutdown(injector: Injector) -> None:
    at = injector.stack.exchange_fault("shutdown", seconds=1.0)
    injector.await_recovery(injector.begin_fault("exchange-shutdown", at, injector.symbols, fresh=True), steady_s=2.0)


def _exchange_checksum(injector: Injector) -> None:
    symbol, count = injector.rng.choice(injector.of_venues("okx", "kraken")), injector.rng.randint(1, 3)
    venue, name = split(symbol)
    at = injector.stack.exchange_fault("checksum", venue, symbol=name if venue == "kraken" else symbol, count=count)
    injector.await_recovery(injector.begin_fault("exchange-checksum", at, (symbol,), fresh=True, note=symbol))


def _exchange_reset(injector: Injector) -> None:
    symbol = injector.rng.choice(injector.of_venues("okx"))
    at = injector.stack.exchange_fault("reset", symbol=symbol)
    # The numbers start again, so no report is newer by its number.
    injector.await_recovery(injector.begin_fault("exchange-reset", at, (symbol,)), steady_s=2.0)


def _exchange_refuse(injector: Injector) -> None:
    symbol, why = injector.rng.choice(injector.of_venues("okx")), injector.rng.choice(list(REFUSALS))
    stack = injector.stack
    at = time.time()
    if why == TOO_MANY:
        stack.exchange_fault("connections", channel="books")
    else:
        stack.exchange_fault("refuse", symbol=symbol, code=why)
        stack.exchange_fault("checksum", symbol=symbol)  # so that ingest subscribes to the book again
    hit = injector.of_venues("okx") if why == TOO_MANY else (symbol,)
    others = [one for one in injector.symbols if one not in hit]
    injector.await_recovery(injector.begin_fault("exchange-refuse", at, others, note=REFUSALS[why]))
    time.sleep(2.0)
    lost = injector.begin_fault("subscription-back", time.time(), hit, fresh=True, note=symbol)
    if why != TOO_MANY:
        stack.exchange_fault("refuse", symbol=symbol, code="")
    injector.await_recovery(lost, timeout_s=BACK_S)


KINDS = (
    FaultKind("exchange-drop", 2000, _exchange_drop, "the exchange cuts every connection"),
    FaultKind("exchange-skip", 2000, _exchange_skip, "the exchange leaves out 1-3 diffs"),
    FaultKind("exchange-rubbish", 2000, _exchange_rubbish, "the exchange sends rubbish"),
    FaultKind("exchange-pause", 2000, _exchange_pause, "the exchange sends nothing, 0.5-3 s"),
    FaultKind("exchange-checksum", 2000, _exchange_checksum, "1-3 wrong checksums, where books have them"),
    FaultKind("exchange-reset", 2000, _exchange_reset, "a venue's update numbers start again"),
    FaultKind(
        "exchange-refuse",
        TWO_PERIODS_MS,
        _exchange_refuse,
        "the exchange refuses subscriptions; the other symbols must not notice",
        every_nth_round=4,
    ),
    FaultKind("subscription-back", None, None, "until it accepts them again and ingest has asked, a minute later"),
    FaultKind("exchange-shutdown", 2000, _exchange_shutdown, "the exchange announces its end and closes"),
)
