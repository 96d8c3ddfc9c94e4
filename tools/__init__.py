"""What is run around the product: the simulator, `make run`, `make chaos`, `make bench`."""
