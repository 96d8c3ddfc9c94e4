"""What the product costs, measured: `python -m benchmarks`, or one group alone: `python -m benchmarks.calculators`."""
