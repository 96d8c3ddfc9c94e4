"""A Redis with the access list of a deployment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.acl_redis import AclRedis, server_program


@pytest.fixture(scope="module")
def acl_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AclRedis]:
    """One server for a module's tests."""
    folder: Path = tmp_path_factory.mktemp("redis")
    executable = server_program(folder)
    if executable is None:
        pytest.skip("the Redis here is older than version 7, which the access list needs")
    with AclRedis(executable, folder) as server:
        yield server
