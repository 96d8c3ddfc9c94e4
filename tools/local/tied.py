"""Run a command that ends when its parent ends, however the parent ended (Linux only).

``python -I tools/local/tied.py KILL celery -A tasks beat`` becomes that command; when the process that
started it is gone, even by SIGKILL, the kernel sends it the named signal. On other systems it
becomes the command and nothing more.

The environment variable ``TIED_TO`` is the parent's process id. The command gets its own id there,
so what it starts can be tied to it in turn.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h; kept over execve


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become ``arguments[1:]``."""
    last_word = signal.Signals[f"SIG{arguments[0]}"]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(last_word), 0, 0, 0)
        if os.getppid() != int(os.environ["TIED_TO"]):
            return  # the parent ended before the kernel was told
    os.environ["TIED_TO"] = str(os.getpid())
    os.execvp(arguments[1], arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
