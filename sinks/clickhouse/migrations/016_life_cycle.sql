-- How a transaction came to its status: since when it is approved, and what is wrong with the way there.
ALTER TABLE ${database}.journal ${on_cluster}
    ADD COLUMN IF NOT EXISTS approved_at DateTime64(3, 'UTC') COMMENT 'Of a count: since when it is approved, or was the last time; 1970 if never' AFTER status_at,
    ADD COLUMN IF NOT EXISTS flag LowCardinality(String) COMMENT 'Of a count: the illegal change of status or amount, empty if there is none' AFTER approved_at,
    ADD COLUMN IF NOT EXISTS judged UInt8 COMMENT 'Of a conversion: 1 where the worker that counted it knew approved_at and flag' AFTER flag;
