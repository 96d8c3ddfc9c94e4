"""The file of rules: what to look for, and whom to tell. Every mistake in it is one clear line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from tickfence.alerts.field import Field

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LEAST_SECRET = 16


class BadRules(Exception):
    """The file of rules cannot be used; the text says why in one line."""


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell: a webhook, or what Apprise knows.

    Attributes:
        webhook: URL that gets a signed POST.
        secret_file: file with the secret of the signature in one line.
        apprise_file: file with an Apprise URL in one line: such a URL holds a password.
        resolved: tell the end of a firing, too.
        at_least_once: try again where it is not known whether the last attempt arrived, so that it may arrive twice.
    """

    webhook: str = ""
    secret_file: str = ""
    apprise_file: str = ""
    resolved: bool = True
    at_least_once: bool = False

    def check(self) -> None:
        """Raise ValueError for what does not fit together."""
        if bool(self.webhook) == bool(self.apprise_file):
            raise ValueError("must have either webhook or apprise_file")
        if self.webhook and not _is_url(self.webhook):  # it may hold a secret, so it is not shown
            raise ValueError("webhook: must be a URL that starts with https:// or http://")
        if self.webhook and len(self.secret()) < LEAST_SECRET:
            raise ValueError(f"secret_file={self.secret_file}: the secret must have at least {LEAST_SECRET} characters")
        if self.apprise_file:
            _line("apprise_file", self.apprise_file)

    def secret(self) -> str:
        """What signs the messages of a webhook."""
        return _line("secret_file", self.secret_file)

    def apprise_url(self) -> str:
        """Where Apprise sends to."""
        return _line("apprise_file", self.apprise_file)


class Rule(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """What to look for in the reports of some symbols.

    Attributes:
        field: path of the field; see :class:`tickfence.alerts.field.Field`.
        targets: names of targets.
        above, below, equals: what a value must be; one of the three.
        clear: a firing ends when no value is above it any more, or below it; by default the same limit.
        for_s: seconds that it must hold without a break.
        symbols: names or patterns like `okx:*`.
        note: goes with each message.
    """

    field: str
    targets: Annotated[list[str], Meta(min_length=1)]
    above: float | None = None
    below: float | None = None
    equals: str | float | bool | None = None
    clear: float | None = None
    for_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    symbols: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    note: str = ""

    @cached_property
    def path(self) -> Field:
        """The field."""
        return Field(self.field)

    def check(self, targets: Mapping[str, Target]) -> None:
        """Raise ValueError for what does not fit together."""
        try:
            self.path  # noqa: B018 - it raises
        except ValueError as error:
            raise ValueError(f"field={self.field}: {error}") from None
        if [self.above, self.below, self.equals].count(None) != 2:
            raise ValueError("must have one of above, below, equals")
        if any(limit is not None and not math.isfinite(limit) for limit in (self.above, self.below, self.clear)):
            raise ValueError("a limit must be a finite number")
        if self.clear is not None:
            if self.equals is not None:
                raise ValueError("clear goes with above or below only")
            if (self.above is not None and self.clear > self.above) or (
                self.below is not None and self.clear < self.below
            ):
                raise ValueError("clear must not lie beyond the limit: a firing would end while it holds")
        if len(set(self.targets)) < len(self.targets):
            raise ValueError("targets: each of them once")
        for name in self.targets:
            if name not in targets:
                raise ValueError(
                    f"targets: there is no target {name}; there are {', '.join(sorted(targets)) or 'none'}"
                )

    def concerns(self, symbol: str) -> bool:
        """Whether it looks at this symbol."""
        return any(fnmatchcase(symbol, pattern) for pattern in self.symbols)

    def met_by(self, report: Mapping[str, Any], *, firing: bool) -> list[Any] | None:
        """The values that keep it firing, or let it fire; None where the report does not tell."""
        values = self.path.values(report)
        if values is None:
            return None
        if self.equals is not None:
            return [value for value in values if value == self.equals]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        above, below = (limit if self.clear is None or not firing else self.clear for limit in (self.above, self.below))
        if self.above is not None:
            return [value for value in numbers if value > above]  # type: ignore[operator]  # of the limit that there is
        return [value for value in numbers if value < below]  # type: ignore[operator]


class Rules(Struct, frozen=True):
    """The whole file: targets and rules by their names."""

    targets: dict[str, Target] = {}
    rules: dict[str, Rule] = {}


def load(path: str) -> Rules:
    """Read and check a file of rules.

    Args:
        path: of a TOML file.

    Raises:
        BadRules: it cannot be used.
    """
    try:
        found = msgspec.toml.decode(Path(path).read_bytes(), type=_Tables)
    except OSError as error:
        raise BadRules(f"{path}: must be a file that can be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRules(f"{path}: {error}") from None
    targets: dict[str, Target] = {}
    rules: dict[str, Rule] = {}
    for name, table in found.targets.items():
        with _errors_of(f"{path}: targets.{name}", name):
            targets[name] = msgspec.convert(table, Target)
            targets[name].check()
    for name, table in found.rules.items():
        with _errors_of(f"{path}: rules.{name}", name):
            rules[name] = msgspec.convert(table, Rule)
            rules[name].check(targets)
    return Rules(targets, rules)


class _Tables(Struct, forbid_unknown_fields=True):
    """The file before its tables are checked one by one, so that an error names the table."""

    targets: dict[str, dict[str, Any]] = {}
    rules: dict[str, dict[str, Any]] = {}


@contextmanager
def _errors_of(place: str, name: str) -> Iterator[None]:
    try:
        if not NAME.fullmatch(name):
            raise ValueError(f"a name must match {NAME.pattern}")
        yield
    except (ValueError, msgspec.ValidationError) as error:
        raise BadRules(f"{place}: {error}") from None


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:
        return False


def _line(name: str, path: str) -> str:
    if not path:
        raise ValueError(f"must have {name}")
    try:
        lines = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{name}={path}: must be a file that can be read: {error}") from None
    if len(lines) != 1:
        raise ValueError(f"{name}={path}: must hold one line without spaces")
    return lines[0]
