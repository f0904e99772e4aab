"""ClickHouse's HTTP interface, in front of the same engine as the native protocol."""
