"""What a node runs. ``celery -A tasks …`` finds the Celery application here."""

from tasks.celery_app import app

__all__ = ["app"]
