"""What people use today, set up as its documentation advises, to run beside tickfence (:mod:`tools.benchmarks.side_by_side`).

All contestants do the same work for a symbol: read what is new from the same streams with the same code, compute the
same report and the same slow sections, write them to the same keys. What differs is who sends the tasks, and how a task
gets the right to write.
"""
