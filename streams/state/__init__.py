"""What a worker remembers, per partition number, in memory: columns, not objects."""
