-- What advertising cost, by day, campaign and currency. The row that was inserted last is the one that counts.
CREATE TABLE IF NOT EXISTS ${database}.costs ${on_cluster}
(
    day Date COMMENT 'UTC',
    campaign LowCardinality(String),
    currency LowCardinality(String) COMMENT 'ISO 4217',
    amount Int64 COMMENT 'Micros',
    imported_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When this was said'
)
ENGINE = ${ReplacingMergeTree}
ORDER BY (day, campaign, currency)
COMMENT 'Advertising costs as they were last imported (funnel costs import); read it with FINAL';
