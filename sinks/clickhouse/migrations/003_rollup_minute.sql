-- What happened per minute of occurred_at, derived from the journal. Rows with a source are fences: the last offset of that source that is in here.
-- Rows with a model hold credited money, those without one counted money: take one or the other, never both.
CREATE TABLE IF NOT EXISTS ${database}.rollup_minute ${on_cluster}
(
    bucket DateTime('UTC') COMMENT 'Minute of occurred_at; 1970 in fence rows' CODEC(DoubleDelta, LZ4),
    campaign LowCardinality(String),
    affiliate LowCardinality(String),
    offer LowCardinality(String),
    channel LowCardinality(String),
    country LowCardinality(String),
    device LowCardinality(String),
    bot UInt8,
    currency LowCardinality(String),
    model LowCardinality(String) COMMENT 'Attribution model of credits; empty for touches and counted conversions',
    _source LowCardinality(String) COMMENT 'Of a fence row: the source; otherwise empty',
    impressions SimpleAggregateFunction(sum, Int64),
    clicks SimpleAggregateFunction(sum, Int64),
    leads SimpleAggregateFunction(sum, Int64),
    conversions_pending SimpleAggregateFunction(sum, Int64),
    conversions_approved SimpleAggregateFunction(sum, Int64),
    conversions_rejected SimpleAggregateFunction(sum, Int64),
    conversions_reversed SimpleAggregateFunction(sum, Int64),
    revenue SimpleAggregateFunction(sum, Int64) COMMENT 'Micros, of pending and approved',
    revenue_approved SimpleAggregateFunction(sum, Int64) COMMENT 'Micros',
    payout SimpleAggregateFunction(sum, Int64) COMMENT 'Micros, of pending and approved',
    payout_approved SimpleAggregateFunction(sum, Int64) COMMENT 'Micros',
    credit_weight SimpleAggregateFunction(sum, Int64) COMMENT 'Conversions credited, in parts of 10^9',
    visitors AggregateFunction(uniqCombined64, String) COMMENT 'Distinct visitor_id of touches; merge with uniqCombined64Merge',
    _fence SimpleAggregateFunction(max, Int64) COMMENT 'Of a fence row: the last offset derived',
    _owner SimpleAggregateFunction(anyLast, UInt64) COMMENT 'Of a fence row: token of the worker that derived it',
    CONSTRAINT owner CHECK _source = '' OR (_owner != 0 AND _owner = joinGet('${database_name}.owners', 'token', _source))
)
ENGINE = ${AggregatingMergeTree}
ORDER BY (bucket, campaign, affiliate, offer, channel, country, device, bot, currency, model, _source)
SETTINGS ${deduplication_window} = 1000, min_bytes_for_wide_part = 134217728 ${fewer_merges};
