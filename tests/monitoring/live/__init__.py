"""Flower and Prometheus beside one stack. A package, so that it ends with these tests and not with the last of all."""
