"""Infrastructure that needs no installation: a Kafka-compatible broker and ClickHouse as child processes."""
