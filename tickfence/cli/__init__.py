"""Commands for people at a terminal, within Celery's own: ``celery -A tasks owners`` and its like.

They read Redis and write nothing. Celery finds them by the entry points in pyproject.toml.
"""
