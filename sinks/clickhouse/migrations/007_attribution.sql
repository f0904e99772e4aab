-- Several attribution models side by side, each in versions. Credits written before were the first version of their model.
ALTER TABLE ${database}.journal ${on_cluster}
    ADD COLUMN IF NOT EXISTS model_version UInt16 DEFAULT if(kind = 'credit', 1, 0) COMMENT 'Of a credit: version of the attribution model' AFTER model,
    ADD COLUMN IF NOT EXISTS touch_kind LowCardinality(String) DEFAULT if(kind = 'credit' AND touch_id != toUUID('00000000-0000-0000-0000-000000000000'), 'click', '')
        COMMENT 'Of a credit: kind of the touch that earned it' AFTER touch_at;

-- The models that workers have credited under, word for word. A version never changes: a worker that finds it told otherwise does not start.
CREATE TABLE IF NOT EXISTS ${database}.attribution_models ${on_cluster}
(
    model LowCardinality(String) COMMENT 'Name of the attribution model',
    model_version UInt16 COMMENT 'Version of the model',
    purpose LowCardinality(String) COMMENT 'payout: it says who is paid; analysis: it divides to compare',
    settings String COMMENT 'Rule, lookback, channels and whatever else decides over credits, as JSON',
    registered_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When a worker first credited under it'
)
ENGINE = ${MergeTree}
ORDER BY (model, model_version);

-- The rollups tell versions apart. Rows derived before have version 0, which the views show as 1.
ALTER TABLE ${database}.rollup_minute ${on_cluster}
    ADD COLUMN IF NOT EXISTS model_version UInt16 COMMENT 'Version of the model; 0 without one' AFTER _source,
    MODIFY ORDER BY (bucket, campaign, affiliate, offer, channel, country, device, bot, currency, model, _source, model_version);

ALTER TABLE ${database}.rollup_hour ${on_cluster}
    ADD COLUMN IF NOT EXISTS model_version UInt16 COMMENT 'Version of the model; 0 without one' AFTER _source,
    MODIFY ORDER BY (bucket, campaign, affiliate, offer, channel, country, device, bot, currency, model, _source, model_version);

ALTER TABLE ${database}.rollup_day ${on_cluster}
    ADD COLUMN IF NOT EXISTS model_version UInt16 COMMENT 'Version of the model; 0 without one' AFTER _source,
    MODIFY ORDER BY (bucket, campaign, affiliate, offer, channel, country, device, bot, currency, model, _source, model_version);

CREATE OR REPLACE VIEW ${database}.attribution_minute ${on_cluster} AS
SELECT model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_minute AS r
WHERE model != '' AND _source = ''
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per minute of the conversion. Take one model and one version: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.attribution_hour ${on_cluster} AS
SELECT model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_hour AS r
WHERE model != '' AND _source = ''
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per hour of the conversion. Take one model and one version: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.attribution_day ${on_cluster} AS
SELECT model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_day AS r
WHERE model != '' AND _source = ''
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per day of the conversion. Take one model and one version: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.credit_ledger ${on_cluster} AS
SELECT _ingested_at AS known_at, sign, model, model_version, partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight,
    sign * assumeNotNull(value) AS signed_value, sign * assumeNotNull(payout) AS signed_payout, currency, goal, campaign, affiliate, offer, channel,
    country, device, bot
FROM ${database}.journal
WHERE kind = 'credit'
COMMENT 'Every credit issued (sign 1) and taken back (sign -1), with when it became known. Its sums are the credits in force.';

CREATE OR REPLACE VIEW ${database}.credits ${on_cluster} AS
SELECT model, model_version, partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight, value, payout, currency, goal,
    campaign, affiliate, offer, channel, country, device, bot
FROM ${database}.journal
WHERE kind = 'credit'
GROUP BY ALL
HAVING sum(sign) > 0
COMMENT 'The credits in force now: issued and not taken back. Take one model and one version: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.payouts ${on_cluster} AS
SELECT partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight, value, payout, currency, goal, campaign, affiliate,
    offer, channel, country, device, bot, model_version
FROM ${database}.credits
WHERE (model, model_version) IN (SELECT model, model_version FROM ${database}.attribution_models WHERE purpose = 'payout')
COMMENT 'Who is paid: the credits in force under the payout model.';

CREATE OR REPLACE VIEW ${database}.credits_as_of ${on_cluster} AS
SELECT model, model_version, partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight, value, payout, currency, goal,
    campaign, affiliate, offer, channel, country, device, bot
FROM ${database}.journal
WHERE kind = 'credit' AND _ingested_at <= {known_at:DateTime64(3, 'UTC')}
GROUP BY ALL
HAVING sum(sign) > 0
COMMENT 'The credits as they were known at a time: SELECT * FROM credits_as_of(known_at = ''2026-01-31 00:00:00'').';
