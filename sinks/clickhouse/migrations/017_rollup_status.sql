-- Conversions by status and day, derived from the journal like the other rollups. Three dates: take one basis, and of clicks one model and one version.
CREATE TABLE IF NOT EXISTS ${database}.rollup_status ${on_cluster}
(
    bucket DateTime('UTC') COMMENT 'Day of what basis says, UTC; 1970 in fence rows' CODEC(DoubleDelta, LZ4),
    basis LowCardinality(String) COMMENT 'Whose day: of the conversion, of its approval, or of the click (touch) that earned it',
    status LowCardinality(String) COMMENT 'pending, approved, rejected or reversed',
    campaign LowCardinality(String),
    affiliate LowCardinality(String),
    offer LowCardinality(String),
    channel LowCardinality(String),
    country LowCardinality(String),
    device LowCardinality(String),
    bot UInt8,
    currency LowCardinality(String),
    model LowCardinality(String) COMMENT 'Attribution model of credits; empty for counted conversions',
    model_version UInt16 COMMENT 'Version of the model',
    _source LowCardinality(String) COMMENT 'Of a fence row: the source; otherwise empty',
    conversions SimpleAggregateFunction(sum, Int64) COMMENT 'Counted',
    credit_weight SimpleAggregateFunction(sum, Int64) COMMENT 'Credited, in parts of 10^9',
    value SimpleAggregateFunction(sum, Int64) COMMENT 'Micros: as reported, whatever the status; of credits what is recognised',
    payout SimpleAggregateFunction(sum, Int64) COMMENT 'Micros, likewise',
    flagged SimpleAggregateFunction(sum, Int64) COMMENT 'Counted conversions with a flag',
    _fence SimpleAggregateFunction(max, Int64) COMMENT 'Of a fence row: the last offset derived',
    _owner SimpleAggregateFunction(anyLast, UInt64) COMMENT 'Of a fence row: token of the worker that derived it',
    CONSTRAINT owner CHECK _source = '' OR (_owner != 0 AND _owner = joinGet('${database_name}.owners', 'token', _source))
)
ENGINE = ${AggregatingMergeTree}
ORDER BY (bucket, basis, status, campaign, affiliate, offer, channel, country, device, bot, currency, model, model_version, _source)
SETTINGS ${deduplication_window} = 1000, min_bytes_for_wide_part = 134217728 ${fewer_merges};

-- With how it came to its status.
CREATE OR REPLACE VIEW ${database}.conversions ${on_cluster} AS
SELECT partner, transaction_id, max(j.revision) AS revision,
    argMax(tuple(j.occurred_at, j.status, assumeNotNull(j.value), assumeNotNull(j.payout), j.currency, j.goal, j.click_id, j.lead_id, j.visitor_id,
        j.campaign, j.affiliate, j.offer, j.channel, j.country, j.device, j.bot, j.approved_at, j.flag), j.revision) AS state,
    state.1 AS occurred_at, state.2 AS status, state.3 AS value, state.4 AS payout,
    if(status IN ('pending', 'approved'), value, 0) AS recognised_value, if(status IN ('pending', 'approved'), payout, 0) AS recognised_payout,
    state.5 AS currency, state.6 AS goal, state.7 AS click_id, state.8 AS lead_id, state.9 AS visitor_id, state.10 AS campaign,
    state.11 AS affiliate, state.12 AS offer, state.13 AS channel, state.14 AS country, state.15 AS device, state.16 AS bot,
    nullIf(state.17, toDateTime64(0, 3, 'UTC')) AS approved_at, state.18 AS flag
FROM ${database}.journal AS j
WHERE j.kind = 'count' AND j.sign = 1
GROUP BY partner, transaction_id;
