"""Who may read: tokens, each with the name of its reader."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from pathlib import Path

from tickfence.settings import NODE_ID, TOKEN, BadSetting, Settings

ONLY = "*"
"""The name of the reader with ``NT_WEB_TOKEN``; no reader in a file can have it."""


class Tokens:
    """The tokens that are accepted.

    Args:
        names: The reader's name of each token; none: everyone may read.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = {token.encode(): name for token, name in names.items()}

    def __bool__(self) -> bool:
        return bool(self._names)

    def reader(self, authorization: str) -> str | None:
        """Return the name of the reader with this ``Authorization`` header; ``None`` if its token is not accepted.

        It takes as long for one token as for another, however much of it is right.
        """
        scheme, _, given = authorization.partition(" ")
        sent = given.encode("latin-1")
        found = [name for token, name in self._names.items() if hmac.compare_digest(sent, token)]
        return found[0] if found and scheme.lower() == "bearer" else None


def read_tokens(settings: Settings) -> Tokens:
    """Return the tokens of ``NT_WEB_TOKEN`` and ``NT_WEB_TOKENS_FILE``.

    Raises:
        BadSetting: The file cannot be read, or has a line that is not a name and a token. No token is shown.
    """
    names = {settings.nt_web_token: ONLY} if settings.nt_web_token else {}
    path = settings.nt_web_tokens_file
    if not path:
        return Tokens(names)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSetting(f"NT_WEB_TOKENS_FILE={path}: must be a file that can be read: {reason}") from None
    for number, line in enumerate(lines, 1):
        words = re.sub("#.*", "", line).split()
        if not words:
            continue
        if len(words) != 2 or not NODE_ID.fullmatch(words[0]) or not TOKEN.fullmatch(words[1]):
            raise BadSetting(
                f"NT_WEB_TOKENS_FILE={path}: line {number} must be a name and a token of 16 to 256 characters, "
                "like: grafana 5f0c9a1be2d43786"
            )
        if words[0] in names.values() or words[1] in names:
            raise BadSetting(f"NT_WEB_TOKENS_FILE={path}: line {number} repeats a name or a token")
        names[words[1]] = words[0]
    if not names:
        raise BadSetting(f"NT_WEB_TOKENS_FILE={path}: must hold at least one name and token")
    return Tokens(names)
