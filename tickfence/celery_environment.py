"""Variables of other programs that Celery takes for its own.

Celery's command line reads ``BROKER_URL`` as its option ``--broker``, and overwrites ``CELERY_BROKER_URL`` with it
(https://github.com/celery/celery/issues/4284); ``RESULT_BACKEND`` likewise. Celery's settings prefer
``CELERY_BROKER_READ_URL`` and ``CELERY_BROKER_WRITE_URL`` to what they are given.

``celery`` imports this module before it reads its options, by :mod:`tickfence.cli.plugin`.
"""

from __future__ import annotations

import os

import click
from click.core import ParameterSource

_PREFERRED = ("CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL")
_OPTIONS = {
    "broker": ("CELERY_BROKER_URL", ("BROKER_URL", "CELERY_BROKER")),
    "result_backend": ("CELERY_RESULT_BACKEND", ("RESULT_BACKEND",)),
}
"""Option of ``celery`` -> the variable it is written to, and others it is read from."""

_given = {variable: os.environ.get(variable) for variable, _ in _OPTIONS.values()}


def ignore_other_programs() -> list[str]:
    """Put ``os.environ`` right; return one line for each variable that is ignored. Options themselves are respected."""
    ignored = [(name, "CELERY_BROKER_URL") for name in _PREFERRED if os.environ.pop(name, None)]
    context = click.get_current_context(silent=True)
    for option, (variable, others) in _OPTIONS.items():
        found = [name for name in others if os.environ.get(name)]
        source = context.find_root().get_parameter_source(option) if context else None
        if not found or source is not ParameterSource.ENVIRONMENT:
            continue
        ignored += [(name, variable) for name in found]
        os.environ.pop(variable, None)
        if (given := _given[variable]) is not None:
            os.environ[variable] = given
    return [f"{name} is ignored; set {variable} instead" for name, variable in ignored]
