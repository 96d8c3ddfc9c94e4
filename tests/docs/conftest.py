"""One checkout with `make run` in it for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.checkout import Checkout


@pytest.fixture(scope="package")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose stack has six live reports."""
    with Checkout(tmp_path_factory.mktemp("checkout")) as checkout:
        yield checkout


@pytest.fixture
def whole(checkout: Checkout) -> Iterator[Checkout]:
    """The same; after the test every role runs again."""
    yield checkout
    for role, runs in checkout.roles().items():
        if not runs:
            assert checkout.type(f"make start ROLE={role}").returncode == 0
