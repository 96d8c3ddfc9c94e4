"""Tests of one stack. A package, so that it ends with them and not with the last test of all."""
