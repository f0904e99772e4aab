"""The comparisons that ``simulator.verify`` is made of: what the oracle expects, what ClickHouse holds."""
