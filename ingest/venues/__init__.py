"""The exchanges: each is one module or package here, and nothing outside names it.

The module's name is the venue's name, as it stands before the colon of an instrument. It has one class of the kind
`ingest.venue.Venue` or `ingest.venue.LibraryVenue`. It is imported when a symbol of it is followed, and not before: it may
need a library that others do without.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from ingest.venue import LibraryVenue, Venue


class NoVenue(Exception):
    """A venue cannot be used here. The text says why."""


def names() -> list[str]:
    """The venues that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def require(*named: str) -> None:
    """Check that there are venues of these names.

    Raises:
        NoVenue: there is none of one of them.
    """
    there = names()
    for name in named:
        if name not in there:
            raise NoVenue(f"there is no venue {name}; there are {', '.join(there)}")


def load(name: str) -> Venue | LibraryVenue:
    """Make the venue of this name.

    Raises:
        NoVenue: there is none, or a library that it needs is not installed.
    """
    require(name)
    try:
        module = importlib.import_module(f"{__name__}.{name}")
        [found] = [
            each
            for each in vars(module).values()
            if inspect.isclass(each)
            and issubclass(each, Venue | LibraryVenue)
            and each.__module__.startswith(module.__name__)
        ]
        return found()
    except ModuleNotFoundError as error:
        raise NoVenue(f"venue {name} needs {error.name}, which is not installed: pip install '.[{name}]'") from None
