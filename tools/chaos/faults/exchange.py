"""Faults of the exchange."""

from __future__ import annotations

import time

from tools.chaos.injector import FaultKind, Injector

# Rubbish that only its content gives away: the correct diffs connect before and after it.
RUBBISH = ("not-json", "wrong-types", "missing-fields", "nan", "infinity", "negative-price", "crossed", "huge")


def _exchange_drop(injector: Injector) -> None:
    at = injector.stack.exchange_fault("drop")
    injector.await_recovery(injector.begin_fault("exchange-drop", at, injector.symbols, fresh=True))


def _exchange_skip(injector: Injector) -> None:
    symbol, count = injector.rng.choice(injector.symbols), injector.rng.randint(1, 3)
    at = injector.stack.exchange_fault("skip", symbol=symbol, count=count)
    time.sleep(0.1 * count)
    fault = injector.begin_fault(
        "exchange-skip", at, (symbol,), counts_from=at + 0.1 * count, fresh=True, note=f"{count} diffs"
    )
    injector.await_recovery(fault)


def _exchange_rubbish(injector: Injector) -> None:
    symbol, kind = injector.rng.choice(injector.symbols), injector.rng.choice(RUBBISH)
    # Not the connection of the reference books.
    ours = injector.stack.ingest_connections()
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


KINDS = (
    FaultKind("exchange-drop", 2000, _exchange_drop, "the exchange cuts every connection"),
    FaultKind("exchange-skip", 2000, _exchange_skip, "the exchange leaves out 1-3 diffs"),
    FaultKind("exchange-rubbish", 2000, _exchange_rubbish, "the exchange sends rubbish"),
    FaultKind("exchange-pause", 2000, _exchange_pause, "the exchange sends nothing, 0.5-3 s"),
    FaultKind("exchange-shutdown", 2000, _exchange_shutdown, "the exchange announces its end and closes"),
)
