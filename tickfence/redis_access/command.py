"""A command together with what to do with its reply: how the parts without I/O ask for what they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Command = tuple[Any, ...]
"""A command's name and its arguments: text, bytes or numbers."""

Request = tuple[Command, Callable[[Any], None]]
"""A command, and the function that takes its reply as it is: also an error that stands in the reply's place."""

UNSENT = object()
"""In place of a reply: none came. The command may have been carried out, or may not."""


def checked(reply: Any) -> Any:
    """``reply``, or raise it where it is an error."""
    if isinstance(reply, Exception):
        raise reply
    return reply
