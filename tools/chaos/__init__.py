"""Fault-injection campaigns: faults in a real stack, and a check of every write.

- :mod:`tools.chaos.history`: the records of what happened, which can be saved and checked again.
- :mod:`tools.chaos.checker`, :mod:`tools.chaos.appends`, :mod:`tools.chaos.gaps`, :mod:`tools.chaos.frozen_writers`: what a
  history shows. No I/O.
- :mod:`tools.chaos.recorder`, :mod:`tools.chaos.monitor`, :mod:`tools.chaos.reference_books`,
  :mod:`tools.chaos.reference_streams`: where the records come from: Redis' ``MONITOR``, and independent order books.
- :mod:`tools.chaos.witness`, :mod:`tools.chaos.lives`, :mod:`tools.chaos.recorded_files`,
  :mod:`tools.chaos.recordings_check`: what recorders have to record, and whether their files hold it.
- :mod:`tools.chaos.deployment`, :mod:`tools.chaos.stack_under_test`, :mod:`tools.chaos.proxy`: the stack.
- :mod:`tools.chaos.injector`, :mod:`tools.chaos.faults`, :mod:`tools.chaos.campaign`: the faults and their order.
"""
