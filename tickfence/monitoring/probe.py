"""Health check of a container: `python -m tickfence.monitoring.probe http://127.0.0.1:9101/metrics --fresh nt_node_heartbeat`.

The exit status is 0 if the page answers and the Unix time in the gauge is recent enough. Otherwise it is 1, and one line
says what is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 2.0
_open = build_opener(ProxyHandler({})).open  # the process is on this host, so no proxy is used


def problem(url: str, gauge: str | None = None, within_s: float = 5.0) -> str | None:
    """What is wrong with the process behind a URL, or None if it is healthy.

    Args:
        url: a page that answers with status 200 while the process is healthy.
        gauge: the name of a gauge on that page whose value is a Unix time in seconds.
        within_s: the maximum age of the newest series of that gauge, in seconds.
    """
    try:
        with _open(url, timeout=TIMEOUT_S) as reply:
            text = reply.read().decode()
    except (HTTPException, OSError, ValueError) as error:
        return f"{url}: {error}"
    if gauge is None:
        return None
    times = [
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith((gauge + "{", gauge + " "))
    ]
    if not times:
        return f"{url}: no {gauge}"
    age = time.time() - max(times)
    return f"{url}: {gauge} is {age:.1f} s old" if age > within_s else None


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    p = argparse.ArgumentParser(prog="python -m tickfence.monitoring.probe", description=__doc__)
    p.add_argument("url", help="the page that must answer")
    p.add_argument("--fresh", metavar="GAUGE", help="a gauge on that page whose Unix time must be recent")
    p.add_argument(
        "--within", type=float, default=5.0, metavar="SECONDS", help="its maximum age (default: %(default)s)"
    )
    return p


def main() -> int:
    """Runs the check of the command line and returns the exit status."""
    arguments = parser().parse_args()
    found = problem(arguments.url, arguments.fresh, arguments.within)
    if found:
        print(f"error: {found}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
