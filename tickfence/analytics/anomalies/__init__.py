"""Anomalies of the report. Each module here defines one kind; a new kind is one new module.

A kind is a subclass of Anomaly: its fields are what the report publishes, `find` finds it.
The report's type, its JSON Schema, the slow cycle and every reader take the kinds from `KINDS`.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, ClassVar, Self, Union

from tickfence.analytics.fields import Finding, Severity
from tickfence.analytics.market import SlowMarket


class Anomaly(Finding, frozen=True, tag_field="type", gc=False):
    """Something unusual in the market; the subclass gives its `type` as `tag`.

    Attributes:
        order: where anomalies of this kind stand in the report's list, the lowest first.
        note: the anomaly in one plain sentence, for people.
    """

    order: ClassVar[int]
    severity: Severity
    note: str

    @classmethod
    def find(cls, market: SlowMarket) -> list[Self]:
        """The anomalies of this kind that there are now."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """The `type` in words, like "flash crash risk"."""
        return str(self.__struct_config__.tag).replace("_", " ")


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

KINDS: tuple[type[Anomaly], ...] = tuple(sorted(Anomaly.__subclasses__(), key=lambda kind: kind.order))
"""All kinds, in the order of the report's list."""

if TYPE_CHECKING:
    AnyAnomaly = Anomaly
else:
    AnyAnomaly = Union[KINDS]  # noqa: UP007 - of as many as there are
"""Type of one entry of the report's `anomalies`."""


def find_anomalies(market: SlowMarket) -> list[AnyAnomaly]:
    """The anomalies of every kind."""
    return [anomaly for kind in KINDS for anomaly in kind.find(market)]
