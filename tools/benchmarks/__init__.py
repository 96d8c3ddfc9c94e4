"""What the product costs, measured: `python -m tools.benchmarks`, or one group alone: `python -m tools.benchmarks --only calculators`."""
