"""The configuration of supervisord (http://supervisord.org/configuration.html)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from tools.local.parent_death import ends_with_parent
from tools.local.roles import ROOT, Role

ROLE_STOP_S = 4
"""supervisord kills a role that has not ended by then."""

# Paths are relative to state_dir, where supervisord runs: it expands a log's path twice, so an absolute path with "%"
# would be misread.
_SUPERVISORD = """\
; Written by tools/local/supervisord_config.py at each start.
[unix_http_server]
file={socket}
chmod=0600
[supervisord]
nodaemon=true
silent=true
minfds=256
pidfile=supervisord.pid
logfile=logs/supervisord.log
logfile_backups=1
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{socket}
"""

# No automatic restart: you want to see what the other roles do when one dies.
_PROGRAM = """\
[program:{name}]
command={command}
directory={directory}
environment={environment}
priority={phase}
autostart=false
autorestart=false
startsecs=0
startretries=0
stopsignal=TERM
stopwaitsecs={stop_wait_s}
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def config(socket: Path, roles: Iterable[Role]) -> str:
    """Configuration of supervisord for ``roles``; it must run in the folder that holds ``logs/``.

    Args:
        socket: where supervisord listens for orders.
        roles: what it can start.

    Raises:
        ValueError: a command or a path cannot be written down.
    """
    text = _SUPERVISORD.format(socket=_literal(socket))
    for role in roles:
        text += _PROGRAM.format(
            name=role.name,
            command=_literal(shlex.join(ends_with_parent("KILL", role.command))),
            directory=_literal(ROOT),
            environment=",".join(f'{name}="{_literal(value)}"' for name, value in role.environment.items()),
            phase=role.phase,
            stop_wait_s=ROLE_STOP_S,
        )
    return text


def _literal(value: object) -> str:
    text = str(value)
    if re.search(r"\s[;#]|\n", text):
        # They start a comment, and cannot be quoted.
        raise ValueError(f"{text!r} contains ' ;' or ' #', which supervisord's configuration cannot hold")
    return text.replace("%", "%%")
