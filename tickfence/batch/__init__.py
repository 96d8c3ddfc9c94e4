"""Reports made again from recorded data: jobs, their partitions, and how each partition ends.

The command ``celery backfill`` cuts a job into partitions and sends each to a batch worker. What must survive either of
them is in Redis (:mod:`tickfence.batch.store`) and in the files (:mod:`tickfence.batch.output`).
"""
