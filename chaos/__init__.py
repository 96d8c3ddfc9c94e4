"""A campaign that injects faults into a real stack and proves the invariants on everything that was written.

- :mod:`chaos.history`: what happened, as records that can be saved and checked again.
- :mod:`chaos.checker`, :mod:`chaos.gaps`: from a history to violations and to the gaps each symbol saw. No I/O.
- :mod:`chaos.recorder`, :mod:`chaos.truth`: where a history comes from: Redis' own account of what it accepted, and
  the exchange's own order books.
- :mod:`chaos.lab`, :mod:`chaos.proxy`: the stack that is tormented.
- :mod:`chaos.kind`, :mod:`chaos.faults`, :mod:`chaos.campaign`: what is done to it, and in which order.
"""
