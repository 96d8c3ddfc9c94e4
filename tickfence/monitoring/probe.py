"""Health check of a container: ``python -m tickfence.monitoring.probe http://127.0.0.1:9101/metrics --fresh nt_node_heartbeat``.

Status 0 if the page is there, and if, of a gauge that holds a Unix time, the newest is recent enough; else 1 and one
line that says what is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from http.client import HTTPException
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 2.0
_open = build_opener(ProxyHandler({})).open  # the process is here, and the way out to others is not asked


def problem(url: str, gauge: str | None = None, within_s: float = 5.0) -> str | None:
    """What is wrong with the process behind ``url``; ``None`` if nothing is.

    Parameters:
        url: a page that answers 200 while all is well.
        gauge: name of a gauge on it, a Unix time in seconds.
        within_s: greatest age of the newest of its series.
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
    """What the command line takes."""
    p = argparse.ArgumentParser(prog="python -m tickfence.monitoring.probe", description=__doc__)
    p.add_argument("url", help="page that must answer")
    p.add_argument("--fresh", metavar="GAUGE", help="a gauge on that page, a Unix time that must be recent")
    p.add_argument("--within", type=float, default=5.0, metavar="SECONDS", help="how recent (%(default)s)")
    return p


def main() -> int:
    """Do what the command line says; the exit status."""
    arguments = parser().parse_args()
    found = problem(arguments.url, arguments.fresh, arguments.within)
    if found:
        print(f"error: {found}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
