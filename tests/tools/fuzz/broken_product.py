"""The fuzz with a product whose books ignore gaps in the update ids: it must find that."""

from __future__ import annotations

import sys
from typing import Any

from tools.fuzz.__main__ import main


def break_it() -> None:
    """Let each diff connect. Called once the fuzz has set up its time."""
    from tickfence.analytics.book import OrderBook  # noqa: PLC0415 - the time comes first

    apply = OrderBook.apply

    def connect(book: OrderBook, first: int, *rest: Any) -> bool:
        return apply(book, min(first, book.last_update_id + 1), *rest)

    setattr(OrderBook, "apply", connect)  # noqa: B010 - as a test's sabotage


if __name__ == "__main__":
    break_it()
    sys.exit(main(["--messages", "60000", "--era", "3000", "--seed", "5"]))
