"""Why a record becomes a reject: docs/rules.md says when."""

REASONS = (
    *("framing", "unknown_schema", "undecodable", "event_id", "missing", "too_long"),
    *("time", "status", "amount", "currency", "hop", "conflict", "refused"),
)
"""All reasons that a worker gives."""
