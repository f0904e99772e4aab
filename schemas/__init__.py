"""Avro schemas, their registry, the ids and routes made of them, and the reference lists that both sides of a check share.

Imports nothing else of ours, so that the oracle in ``simulator`` may use it without sharing code with the pipeline.
"""
