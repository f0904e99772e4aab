"""Benchmarks: each checks its answer and prints one JSON line."""
