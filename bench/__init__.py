"""Benchmarks against peers on real work, side by side in one run; never tests."""
