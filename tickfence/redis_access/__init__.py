"""The only package that knows redis-py: clients for every form of URL, time-outs, errors, scripts, pipelines.

docs/dependencies.md lists the private parts of redis-py that it uses.
"""
