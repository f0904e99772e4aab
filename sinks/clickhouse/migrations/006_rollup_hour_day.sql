-- The minute rollup's columns and rules, by hour and by day. Each is derived from the journal, never from another rollup, with fences of its own.
CREATE TABLE IF NOT EXISTS ${database}.rollup_hour ${on_cluster}
(
    bucket DateTime('UTC') COMMENT 'Hour of occurred_at, UTC; 1970 in fence rows' CODEC(DoubleDelta, LZ4),
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

CREATE TABLE IF NOT EXISTS ${database}.rollup_day ${on_cluster}
(
    bucket DateTime('UTC') COMMENT 'Day of occurred_at, UTC; 1970 in fence rows' CODEC(DoubleDelta, LZ4),
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

-- What happened per hour, and what was counted.
CREATE VIEW IF NOT EXISTS ${database}.funnel_hour ${on_cluster} AS
SELECT bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.impressions) AS impressions, sum(r.clicks) AS clicks,
    sum(r.leads) AS leads, sum(r.conversions_pending) AS conversions_pending, sum(r.conversions_approved) AS conversions_approved,
    sum(r.conversions_rejected) AS conversions_rejected, sum(r.conversions_reversed) AS conversions_reversed, sum(r.revenue) AS revenue,
    sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved,
    uniqCombined64Merge(r.visitors) AS visitors
FROM ${database}.rollup_hour AS r
WHERE model = '' AND _source = ''
GROUP BY bucket, campaign, affiliate, offer, channel, country, device, bot, currency;

-- What was credited, per hour of the conversion and attribution model.
CREATE VIEW IF NOT EXISTS ${database}.attribution_hour ${on_cluster} AS
SELECT model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.credit_weight) / 1e9 AS conversions,
    sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_hour AS r
WHERE model != '' AND _source = ''
GROUP BY model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency;

-- What happened per day, and what was counted.
CREATE VIEW IF NOT EXISTS ${database}.funnel_day ${on_cluster} AS
SELECT bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.impressions) AS impressions, sum(r.clicks) AS clicks,
    sum(r.leads) AS leads, sum(r.conversions_pending) AS conversions_pending, sum(r.conversions_approved) AS conversions_approved,
    sum(r.conversions_rejected) AS conversions_rejected, sum(r.conversions_reversed) AS conversions_reversed, sum(r.revenue) AS revenue,
    sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved,
    uniqCombined64Merge(r.visitors) AS visitors
FROM ${database}.rollup_day AS r
WHERE model = '' AND _source = ''
GROUP BY bucket, campaign, affiliate, offer, channel, country, device, bot, currency;

-- What was credited, per day of the conversion and attribution model.
CREATE VIEW IF NOT EXISTS ${database}.attribution_day ${on_cluster} AS
SELECT model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.credit_weight) / 1e9 AS conversions,
    sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_day AS r
WHERE model != '' AND _source = ''
GROUP BY model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency;
