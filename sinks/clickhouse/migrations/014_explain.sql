-- Where an id may be: explaining one reads a few granules of ten million rows, not all. Parts written before get the index when they are merged.
ALTER TABLE ${database}.journal ${on_cluster}
    ADD INDEX IF NOT EXISTS by_id (event_id, transaction_id) TYPE bloom_filter(0.01) GRANULARITY 1;
