"""As much of a picture as the terminal is high, and how much of it is missing."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.text import Text


class Screenful:
    """A picture that may be higher than the terminal; Rich would cut it off without a word."""

    def __init__(self, picture: RenderableType) -> None:
        self._picture = picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._picture, options.update(height=None), pad=False)
        missing = len(lines) - console.height
        if missing > 0:
            missing += 1  # the line that says so takes the place of one
            lines = lines[:-missing]
        for line in lines:
            yield from line
            yield Segment.line()
        if missing > 0:
            yield Text(f"{missing} more lines: a taller terminal shows them, or the same without --watch", style="bold")
