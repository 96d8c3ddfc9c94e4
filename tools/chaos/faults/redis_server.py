"""What happens to the Redis server."""

from __future__ import annotations

import signal
import time

from tools.chaos.kind import Kind
from tools.chaos.scene import Scene


def _redis_away(scene: Scene, kind: str, seconds: float, *, keep: bool) -> None:
    at = scene.lab.stop_redis(keep=keep)
    time.sleep(seconds)
    back = scene.lab.start_redis()
    fault = scene.hurt(kind, at, scene.symbols, counts_from=back, note=f"away {back - at:.1f} s")
    scene.recovered(fault)


def redis_restart(scene: Scene) -> None:
    _redis_away(scene, "redis-restart", scene.chance.uniform(0.0, 3.0), keep=True)


def redis_empty(scene: Scene) -> None:
    _redis_away(scene, "redis-empty", scene.chance.uniform(0.0, 3.0), keep=False)


def redis_crash(scene: Scene) -> None:
    scene.lab.save_redis()
    lost = scene.chance.uniform(0.1, 3.0)
    time.sleep(lost)
    at = scene.lab.kill_redis()
    back = scene.lab.start_redis()
    fault = scene.hurt("redis-crash", at, scene.symbols, counts_from=back, note=f"the last {lost:.1f} s lost")
    scene.recovered(fault, steady_s=2.0)


def redis_away(scene: Scene) -> None:
    _redis_away(scene, "redis-away", scene.chance.uniform(5.0, 15.0), keep=scene.chance.random() < 0.5)


def redis_flush(scene: Scene) -> None:
    with scene.lab.client() as client:
        at = time.time()
        client.flushall()
    scene.recovered(scene.hurt("redis-flush", at, scene.symbols), steady_s=2.0)


def redis_freeze(scene: Scene) -> None:
    at = scene.lab.signal("redis", signal.SIGSTOP)
    time.sleep(scene.chance.uniform(0.5, 4.0))
    back = scene.lab.signal("redis", signal.SIGCONT)
    fault = scene.hurt("redis-freeze", at, scene.symbols, counts_from=back, note=f"{back - at:.1f} s")
    scene.recovered(fault, steady_s=2.0)


KINDS = (
    Kind("redis-restart", 2000, redis_restart, "Redis restarted with its data"),
    Kind("redis-empty", 2000, redis_empty, "Redis restarted empty"),
    Kind("redis-crash", 2000, redis_crash, "SIGKILL of Redis, which comes back without its last 0.1-3 s"),
    Kind("redis-flush", 2000, redis_flush, "FLUSHALL"),
    Kind("redis-away", 2000, redis_away, "Redis away for 5-15 s, its data kept or not"),
    Kind("redis-freeze", 2000, redis_freeze, "SIGSTOP of Redis, 0.5-4 s"),
)
