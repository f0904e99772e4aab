"""Test traffic, and the proof of what became of it.

``generate`` makes journeys out of a seed, ``send`` brings them in, ``oracle`` computes what must come out of the log by a second, plain
implementation of docs/rules.md, and ``verify`` compares that with ClickHouse. Of ours, only ``schemas`` is used.
"""
