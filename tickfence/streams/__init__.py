"""The market-data streams: their keys, what an entry looks like, how it is appended and read.

Ingest writes them, nodes read them; both sides go through this package, so the layout of an
entry is decided in one place (`streams.codec`).
"""
