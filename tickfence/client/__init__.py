"""A typed client of the HTTP API: reports that refuse to be stale, streams that reconnect, history as arrays.

Example:
    >>> from tickfence import Client
    >>> with Client("http://localhost:8000") as client:  # doctest: +SKIP
    ...     print(client.report("BTCUSDT").mid_price)
"""

from tickfence.client.asynchronous import AsyncClient
from tickfence.client.errors import (
    BadAnswer,
    BadRequest,
    ClientError,
    NoReport,
    Refused,
    StaleReport,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownSymbol,
    Unreachable,
)
from tickfence.client.following import Lost
from tickfence.client.history import History
from tickfence.client.queries import Events, Reports
from tickfence.client.synchronous import Client
from tickfence.readers.reports import FreshReport
from tickfence.web.events import Event
from tickfence.web.nodes import Node, Nodes

__all__ = [
    "AsyncClient",
    "BadAnswer",
    "BadRequest",
    "Client",
    "ClientError",
    "Event",
    "Events",
    "FreshReport",
    "History",
    "Lost",
    "NoReport",
    "Node",
    "Nodes",
    "Refused",
    "Reports",
    "StaleReport",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnknownSymbol",
    "Unreachable",
]
