"""What the roles and the readers of tickfence share.

- :mod:`tickfence.settings`: the environment as one validated object.
- :mod:`tickfence.analytics`: order book, windows, calculators, the report. Numbers only.
- :mod:`tickfence.streams`: the market-data streams in Redis.
- :mod:`tickfence.coordination`: which node may write which symbol.
- :mod:`tickfence.redis_access`: clients, time-outs, errors, scripts, pipelines.
- :mod:`tickfence.timeline`: what happened, for people to read.
- :mod:`tickfence.monitoring`: metrics, health checks, logs.
- :mod:`tickfence.readers`: reports and the state of the cluster, for the readers :mod:`tickfence.web`,
  :mod:`tickfence.mcp` and :mod:`tickfence.cli`.
"""
