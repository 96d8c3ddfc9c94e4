"""What the exchange does."""

from __future__ import annotations

import time

from tools.chaos.kind import Kind
from tools.chaos.scene import Scene

# What a client can only tell from the content: the true diffs connect to it.
RUBBISH = ("not-json", "wrong-types", "missing-fields", "nan", "infinity", "negative-price", "crossed", "huge")


def exchange_drop(scene: Scene) -> None:
    at = scene.lab.exchange_fault("drop")
    scene.recovered(scene.hurt("exchange-drop", at, scene.symbols, fresh=True))


def exchange_skip(scene: Scene) -> None:
    symbol, count = scene.chance.choice(scene.symbols), scene.chance.randint(1, 3)
    at = scene.lab.exchange_fault("skip", symbol=symbol, count=count)
    time.sleep(0.1 * count)
    fault = scene.hurt("exchange-skip", at, (symbol,), counts_from=at + 0.1 * count, fresh=True, note=f"{count} diffs")
    scene.recovered(fault)


def exchange_rubbish(scene: Scene) -> None:
    symbol, kind = scene.chance.choice(scene.symbols), scene.chance.choice(RUBBISH)
    # The connection that tells the truth is spared.
    ours = scene.lab.ingest_connections()
    chosen = ours if scene.chance.random() < 0.5 else [scene.chance.choice(ours)]
    at = time.time()
    for connection in chosen:
        scene.lab.exchange_fault("rubbish", kind=kind, symbol=symbol, connection=connection)
    scene.recovered(scene.hurt("exchange-rubbish", at, (symbol,), fresh=True, note=kind))


def exchange_pause(scene: Scene) -> None:
    seconds = scene.chance.uniform(0.5, 3.0)
    at = scene.lab.exchange_fault("pause", seconds=seconds)
    time.sleep(seconds)
    fault = scene.hurt("exchange-pause", at, scene.symbols, counts_from=at + seconds, fresh=True)
    scene.recovered(fault)


def exchange_shutdown(scene: Scene) -> None:
    at = scene.lab.exchange_fault("shutdown", seconds=1.0)
    scene.recovered(scene.hurt("exchange-shutdown", at, scene.symbols, fresh=True), steady_s=2.0)


KINDS = (
    Kind("exchange-drop", 2000, exchange_drop, "the exchange cuts every connection"),
    Kind("exchange-skip", 2000, exchange_skip, "the exchange leaves out 1-3 diffs"),
    Kind("exchange-rubbish", 2000, exchange_rubbish, "the exchange sends rubbish"),
    Kind("exchange-pause", 2000, exchange_pause, "the exchange stands still, 0.5-3 s"),
    Kind("exchange-shutdown", 2000, exchange_shutdown, "the exchange announces its end and closes"),
)
