"""Loading this package where its extra may not be installed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


class NotInstalled(ImportError):
    """A package of the extra ``recordings`` is missing. The text is the one line to show."""


def load(module: str) -> ModuleType:
    """Return a module of this package, for example ``"recording"``.

    Raises:
        NotInstalled: A package that it needs is missing.
    """
    try:
        return import_module(f"tickfence.recordings.{module}")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == "tickfence":
            raise
        raise NotInstalled(
            f"recordings need the package {package}, which is not installed: pip install 'tickfence[recordings]'",
            name=error.name,
        ) from None
