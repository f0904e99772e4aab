"""Faults at random moments under traffic, and afterwards every number: `python -m tests.faults.harness --help`.

client   ──▶ ⚡ collector ──▶ ⚡ Kafka ──▶ ⚡ worker ──▶ ⚡ ClickHouse        ⚡ a process or a network that fails and is healed
log of all acknowledged ids                        │
plan     seed ──▶ pause · fault · pause · fault …   ▼ healed and drained: the oracle's numbers, the ledger, the acknowledged ids
"""
