"""Benchmarks against peers on real work; never tests."""
