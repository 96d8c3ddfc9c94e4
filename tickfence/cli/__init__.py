"""Commands for people at a terminal, as part of Celery's own command line: ``celery -A tasks owners``.

They read Redis and write nothing. Celery finds them through the entry points in pyproject.toml.
"""
