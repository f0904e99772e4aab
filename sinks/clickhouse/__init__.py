"""ClickHouse as the checkpoint: migrations, the journal and its owners, rollups derived from it, and what a worker restores."""
