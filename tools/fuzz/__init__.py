"""Differential fuzz: random exchange histories through the real ingest and the real node, against an oracle.

    python -m tools.fuzz --messages 1000000 --seed 7

Everything but the exchange is the product: `ingest.service.Ingest`, a Redis server of its own, `tasks.cycles.run_cycle`.
It runs in one process on virtual time (`virtual_time`), so hours of the exchange take minutes.

`world` is the truth: random markets, with their true books and trades. `venue` tells it as Binance does, and `okx` as OKX
does, over the interface of an aiohttp session, and misbehaves on request. `faults` decides when. `oracle` says what a report must show;
it is written from docs/report.md and shares no code with the product. `run` puts them together and compares.

A report equals the truth at the update id it was made from, or it is not there. A difference ends the run with the
seed, the step, the symbol and both values.
"""
