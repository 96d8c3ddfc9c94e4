"""What the roles and the readers of tickfence share.

- :mod:`tickfence.settings`: the environment as one validated object.
- :mod:`tickfence.analytics`: order book, windows, calculators, the report. Numbers only.
- :mod:`tickfence.streams`: the market-data streams in Redis.
- :mod:`tickfence.coordination`: which node may write which symbol.
- :mod:`tickfence.redis_access`: clients, time-outs, errors, scripts, pipelines.
- :mod:`tickfence.timeline`: what happened, for people to read.
- :mod:`tickfence.monitoring`: metrics, health checks, logs.
- :mod:`tickfence.readers`: reports and the state of the cluster, for the readers :mod:`tickfence.web`,
  :mod:`tickfence.mcp` and :mod:`tickfence.cli`.
- :mod:`tickfence.client`: `Client` and `AsyncClient`, which read a deployment through its HTTP API. They need
  ``pip install 'tickfence[client]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickfence.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """Import the clients when somebody asks for one: nothing else here needs an HTTP library.

    Raises:
        ImportError: That library is not installed.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    try:
        return getattr(import_module("tickfence.client"), name)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] != "httpx2":
            raise
        raise ImportError(f"tickfence.{name} needs the package httpx2: pip install 'tickfence[client]'") from error
