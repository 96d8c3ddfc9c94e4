"""Metrics, logs and health: what an operator looks at."""
