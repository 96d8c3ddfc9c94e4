"""The market data of one symbol: order book, trade window, calculators, report. No Redis and no Celery here."""
