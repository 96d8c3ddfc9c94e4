"""Stops the main thread of a process while its other threads go on: what a hang looks like from outside.

SIGSTOP stops every thread. A debugger's attachment stops one: see ptrace(2), PTRACE_SEIZE and PTRACE_INTERRUPT. The
kernel lets the thread go on when this process ends.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000  # waitpid: also for threads that are not this process's children


def unavailable() -> str:
    """Why no thread can be stopped on this machine, or ""."""
    if sys.platform != "linux":
        return "it needs Linux"
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            with main_thread_stopped(process.pid):
                return ""
        except PermissionError as error:
            return f"this user may not trace processes: {error.strerror}"
        finally:
            process.kill()


@contextmanager
def main_thread_stopped(pid: int) -> Iterator[float]:
    """Stop the main thread of a process; yields when it stopped (Unix time, s). It goes on at the end.

    The caller's thread must enter and leave the context.

    Raises:
        PermissionError: this user may not trace that process.
        ProcessLookupError: there is no such process.
    """
    _ptrace(_SEIZE, pid)
    try:
        at = time.time()
        _ptrace(_INTERRUPT, pid)
        os.waitpid(pid, _WALL)
        yield at
    finally:
        with suppress(ProcessLookupError):  # it may have ended meanwhile
            _ptrace(_DETACH, pid)


def _ptrace(request: int, pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, None, None) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
