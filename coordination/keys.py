"""Redis keys of leases, reports, membership, leadership and events.

The braces in a lease's key are Redis Cluster's hash tag: they make ``lease:{report:X}`` share a slot with
``report:X``, so that one script may touch both.
"""

NODES = "nt:nodes"
DISPATCHER = "nt:dispatcher"
ASSIGNMENT = "nt:assignment"
EVENTS = "nt:events"


def report_key(symbol: str) -> str:
    return f"report:{symbol}"


def slow_key(symbol: str) -> str:
    """Key of the last slow-cycle sections, which a new owner starts with."""
    return f"slow:{{report:{symbol}}}"


def carry_key(symbol: str) -> str:
    """Key of what a new owner cannot read from the streams, as the old owner left it."""
    return f"carry:{{report:{symbol}}}"


def lease_key(symbol: str) -> str:
    return f"lease:{{report:{symbol}}}"


def node_key(node_id: str) -> str:
    return f"nt:node:{node_id}"
