"""The only package that knows redis-py: clients for every form of URL, time-outs, errors, scripts, pipelines.

Private parts of redis-py that it uses, each with a test that fails when an upgrade removes it:

- ``connection._parser._reader`` and ``redis._parsers.hiredis.NOT_ENOUGH_DATA``, in `raw_connection`: all replies that are
  at hand are read at once, which costs a tenth.
"""
