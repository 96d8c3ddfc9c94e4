"""Recorded data: what it looks like in files, and how it is read.

A recording is a folder, local or in object storage, of Parquet files by day, venue and :class:`~.kinds.Kind`.
:class:`~.recording.Recording` reads it, :class:`~.store.Store` writes it. docs/recordings.md lists the columns.

This package needs the extra ``recordings`` (pyarrow, duckdb, fsspec). Importing the package alone does not, so that a
process that can do without says what it lacks: :func:`~.extra.load`.
"""
