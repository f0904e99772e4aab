"""Who may connect, and what the read-only user may run."""
