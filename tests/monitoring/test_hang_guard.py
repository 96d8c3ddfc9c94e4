"""A process whose main thread hangs ends, with the stacks of its threads; one that goes on does not."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import ctypes, threading, time
from tickfence.monitoring.hang_guard import HangGuard
def waiting_elsewhere():
    threading.Event().wait()
threading.Thread(target=waiting_elsewhere, daemon=True).start()
guard = HangGuard({bound_s})
def hang():
    {hang}
"""
SLEEP = "time.sleep(60)"
HOLDS_THE_INTERPRETER = "ctypes.PyDLL(None).sleep(60)"
BOUND_S = 0.3


def run(ends: str, hang: str = SLEEP, bound_s: float = BOUND_S) -> subprocess.CompletedProcess[str]:
    program = BEGIN.format(bound_s=bound_s, hang=hang) + ends
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)


def test_a_main_thread_that_hangs_ends_the_process_and_every_stack_is_shown() -> None:
    for hang in (SLEEP, HOLDS_THE_INTERPRETER):
        done = run("guard.alive(); hang()", hang)
        assert done.returncode == 1
        assert "Timeout" in done.stderr
        assert "in hang" in done.stderr
        assert "in waiting_elsewhere" in done.stderr


def test_one_that_goes_on_that_may_take_longer_or_is_not_watched_is_left_alone() -> None:
    longer = 2 * BOUND_S
    for goes_on in (
        "for _ in range(8): guard.alive(); time.sleep(0.1)",
        f"guard.alive({10 * BOUND_S}); time.sleep({longer})",
        f"guard.alive(); guard.alive({10 * BOUND_S}); time.sleep({longer})",
        f"guard.alive(); guard.stop(); time.sleep({longer})",
    ):
        done = run(f"{goes_on}\nprint('well')")
        assert (done.returncode, done.stdout, done.stderr) == (0, "well\n", ""), goes_on
    assert run(f"guard.alive(); time.sleep({longer}); print('well')", bound_s=0).stdout == "well\n"


def test_what_may_take_longer_is_over_with_the_next_call() -> None:
    assert run("guard.alive(60); guard.alive(); hang()").returncode == 1
