"""A web server with some market data, for the examples to read."""

from tests.client.conftest import cluster, data, server

__all__ = ["cluster", "data", "server"]
