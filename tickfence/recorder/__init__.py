"""From the streams to Parquet files: ``python -m tickfence.recorder``.

The way of an entry: :mod:`~.rounds` reads it with others, appends it to the :mod:`~.wal`, syncs, and notes in Redis how far
it has come (:mod:`~.recording`, one source; :mod:`~.recording_lease`, whose entries are whose). Each minute the
log begins a new segment, and :mod:`~.converter` writes the one before to files. :mod:`~.service` puts the parts together.

This package needs the extra ``recordings``.
"""
