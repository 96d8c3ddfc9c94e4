"""Which error replies speak of the server rather than of what was asked of it."""

from __future__ import annotations

import re

from redis.exceptions import BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError

_CLASSES = (BusyLoadingError, MasterDownError, OutOfMemoryError, ReadOnlyError)

# Redis 6.2 tells an error inside a script as "ERR Error running script (call to f_…): @user_script:41: -READONLY …".
_TEXT = re.compile(
    r"(?:^|^(?:ERR )?Error running script .*: -)(?:BUSY|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED)(?: |$)"
)


def is_server_failure(error: Exception) -> bool:
    """Whether ``error`` says that this server cannot serve now, as any other key would have been told.

    So says one that is or becomes a replica, is loading, is out of memory, cannot save, or is kept busy. A key of the wrong type
    is the fault of that key.

    Example:
        >>> from redis.exceptions import ResponseError
        >>> is_server_failure(ResponseError("MISCONF Errors writing to the AOF file: No space left on device"))
        True
        >>> is_server_failure(ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
        False
    """
    return isinstance(error, _CLASSES) or _TEXT.match(str(error)) is not None
