"""Run a command that ends when its parent ends, however the parent ends (Linux only).

``python -I tools/local/parent_death.py KILL celery -A tasks beat`` becomes that command. When its parent is gone, even
by SIGKILL, the kernel sends it the named signal. On other systems it only becomes the command.

``PARENT_PID`` in the environment names the parent. The command finds its own process id there, so that it can start
children in the same way.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; execve keeps it


def ends_with_parent(signal_name: str, command: Iterable[str]) -> list[str]:
    """The command line that runs ``command`` until its parent ends; needs ``PARENT_PID`` in the environment.

    Args:
        signal_name: what the kernel sends then: ``"TERM"`` or ``"KILL"``.
        command: program and arguments.
    """
    return [sys.executable, "-I", __file__, signal_name, *command]


def main(arguments: list[str]) -> None:
    """Bind this process to its parent and become ``arguments[1:]``."""
    number = signal.Signals[f"SIG{arguments[0]}"]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(os.environ["PARENT_PID"]):
            return  # the parent ended before the kernel knew of the request
    os.environ["PARENT_PID"] = str(os.getpid())
    os.execvp(arguments[1], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
