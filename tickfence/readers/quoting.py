"""What somebody gave, as an error names it."""

_LONGEST = 40  # characters


def quoted(given: str) -> str:
    """Return ``given`` in quotes, in one line (what cannot be printed is escaped), and shortened when it is long."""
    return repr(given if len(given) <= _LONGEST else given[:_LONGEST] + "...")
