"""ClickHouse as the checkpoint: migrations, the journal and its owners, rollups derived from it, and what a worker restores."""

import os

# The driver reads it when it is imported. Of itself it makes a date of every day from 1900 to 2299, 25 MiB in each process; so, of those that occur.
os.environ.setdefault("CLICKHOUSE_DRIVER_LASY_DATE_LUT", "none")
