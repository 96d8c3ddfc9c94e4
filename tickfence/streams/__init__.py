"""The market-data streams: what an entry looks like, how it is appended, and how it is read.

Ingest writes them and nodes read them. Both go through this package, so the layout of an entry is decided in one place:
:mod:`tickfence.streams.codec`.
"""
