"""Commands for people at a terminal, as part of Celery's own command line: ``celery -A tasks owners``.

``symbols`` and ``nodes`` may change the desired state; the others only read. Celery finds them through the entry points
in pyproject.toml.
"""
