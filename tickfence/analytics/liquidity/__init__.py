"""The report's `liquidity`: where the book is thick and thin. A new calculator is one new module here.

Each module defines `ORDER`, which is its place in the section, and `find(market)`. The module's name is the name of its
field, and the return type of `find` is the field's type: a Finding, a list of one kind of Finding, or UNSET without
enough data.
"""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec
from msgspec import UNSET

from tickfence.analytics.fields import Finding
from tickfence.analytics.market import SlowMarket

_MODULES = sorted(
    (import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)), key=lambda m: m.ORDER
)
_FINDERS = {module.__name__.rpartition(".")[2]: module.find for module in _MODULES}

if TYPE_CHECKING:
    Liquidity = Any  # its fields are known only when the modules are there
else:
    Liquidity = msgspec.defstruct(
        "Liquidity",
        [(name, get_type_hints(find)["return"], UNSET) for name, find in _FINDERS.items()],
        namespace={
            "__doc__": "Where the book is thick and thin, and where volume was traded; what lacks data is left out."
        },
        module=__name__,
        frozen=True,
    )


def find_liquidity(market: SlowMarket) -> Liquidity:
    """The whole section."""
    return Liquidity(*[find(market) for find in _FINDERS.values()])


def findings(liquidity: Liquidity) -> Iterator[tuple[str, list[Finding]]]:
    """Each field that found something: its name in words, like "volume profile", and its findings."""
    for name in _FINDERS:
        value = getattr(liquidity, name)
        if value:
            yield name.replace("_", " "), value if isinstance(value, list) else [value]
