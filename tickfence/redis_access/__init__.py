"""One way to Redis: addresses, clients, errors, scripts and pipelines."""
