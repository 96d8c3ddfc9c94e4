"""Who may write what: assignment, membership, leadership, leases.

- :mod:`tickfence.coordination.hrw`, :mod:`tickfence.coordination.assignment`,
  :mod:`tickfence.coordination.controller`: which node owns which symbol. Pure functions and state, no I/O.
- :mod:`tickfence.coordination.registration`: how a node registers; :mod:`tickfence.coordination.membership`: which
  nodes are alive.
- :mod:`tickfence.coordination.leadership`: which dispatcher leads.
- :mod:`tickfence.coordination.assignment_store`: the published assignment.
- :mod:`tickfence.coordination.lease`: the fenced lease without which no report is accepted.
- :mod:`tickfence.coordination.standby_lease`: a fenced lease that one process has while others stand by.

Nothing here knows Celery or market data.
"""
