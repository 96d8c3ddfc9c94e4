"""A campaign that injects faults into a real stack and proves the invariants on everything that was written.

- :mod:`tools.chaos.history`: what happened, as records that can be saved and checked again.
- :mod:`tools.chaos.checker`, :mod:`tools.chaos.gaps`: from a history to violations and to the gaps each symbol saw. No I/O.
- :mod:`tools.chaos.recorder`, :mod:`tools.chaos.truth`: where a history comes from: Redis' own account of what it accepted, and
  the exchange's own order books.
- :mod:`tools.chaos.lab`, :mod:`tools.chaos.proxy`: the stack that is tormented.
- :mod:`tools.chaos.kind`, :mod:`tools.chaos.faults`, :mod:`tools.chaos.campaign`: what is done to it, and in which order.
"""
