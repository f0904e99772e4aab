"""The worker: record batches from Kafka through pure columnar steps into the journal."""
