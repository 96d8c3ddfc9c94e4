"""Market numbers of one symbol: order book, trade window, calculators, report. Knows no Redis and no Celery."""
