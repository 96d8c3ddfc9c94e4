"""Exchange to streams: ``python -m ingest``.

One message's way: `connection` receives it, `feed` keeps one connection alive and replaces it
before it ends, `intake` decodes it by the exchange's dialect (`binance`), keeps the symbol's
book by the documented procedure (`book_sync`) and hands what is true to `writer`, which
appends it to Redis.
"""
