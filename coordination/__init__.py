"""Who may write what: assignment, membership, leadership, leases.

- :mod:`coordination.hrw`, :mod:`coordination.assignment`, :mod:`coordination.controller`: which node owns
  which symbol. Pure functions and state, no I/O.
- :mod:`coordination.registration`, :mod:`coordination.roster`: which nodes are alive.
- :mod:`coordination.leadership`: which dispatcher leads.
- :mod:`coordination.lease`: the fenced lease without which no report is accepted.
- :mod:`coordination.events`: what happened of late, for people to read. Nothing is decided by it.

Nothing here knows Celery or market data.
"""
