-- One version of each attribution model is in force, and readers see that one: versions divide the same conversions and must never add up.
ALTER TABLE ${database}.attribution_models ${on_cluster}
    ADD COLUMN IF NOT EXISTS applied_at DateTime64(3, 'UTC') COMMENT 'When the version was put in force; 1970 in the row that registers it';

CREATE OR REPLACE VIEW ${database}.attribution_versions ${on_cluster} AS
SELECT m.model AS model, m.version AS model_version, m.kept_purpose AS purpose, m.first_registered AS registered_at, m.last_applied AS applied_at,
    toUInt8(m.version = f.version) AS in_force
FROM
(
    SELECT model, model_version AS version, any(purpose) AS kept_purpose, min(registered_at) AS first_registered, max(applied_at) AS last_applied
    FROM ${database}.attribution_models
    GROUP BY model, version
) AS m
INNER JOIN
(
    SELECT model, if(max(applied_at) > toDateTime64(0, 3, 'UTC'), argMax(model_version, applied_at),
        argMin(model_version, (registered_at, model_version))) AS version
    FROM ${database}.attribution_models
    GROUP BY model
) AS f ON f.model = m.model
COMMENT 'The versions of each attribution model. in_force: readers see it. It is the one applied last, or the first where none was.';

CREATE OR REPLACE VIEW ${database}.attribution_minute ${on_cluster} AS
SELECT r.model AS model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_minute AS r
WHERE r.model != '' AND _source = ''
    AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per minute of the conversion, under the version of each model that is in force. Take one model: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.attribution_hour ${on_cluster} AS
SELECT r.model AS model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_hour AS r
WHERE r.model != '' AND _source = ''
    AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per hour of the conversion, under the version of each model that is in force. Take one model: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.attribution_day ${on_cluster} AS
SELECT r.model AS model, greatest(r.model_version, 1) AS model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency,
    sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout,
    sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_day AS r
WHERE r.model != '' AND _source = ''
    AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY model, model_version, bucket, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per day of the conversion, under the version of each model that is in force. Take one model: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.attribution_all_versions ${on_cluster} AS
SELECT r.model AS model, greatest(r.model_version, 1) AS model_version, toDate(r.bucket) AS day, campaign, affiliate, offer, channel, country, device, bot,
    currency, sum(r.credit_weight) / 1e9 AS conversions, sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved,
    sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_day AS r
WHERE r.model != '' AND _source = ''
GROUP BY model, model_version, day, campaign, affiliate, offer, channel, country, device, bot, currency
COMMENT 'What was credited, per day of the conversion, under every version, to compare them. Take one model and one version.';

CREATE OR REPLACE VIEW ${database}.credits ${on_cluster} AS
SELECT j.model AS model, j.model_version AS model_version, partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight,
    value, payout, currency, goal, campaign, affiliate, offer, channel, country, device, bot
FROM ${database}.journal AS j
WHERE kind = 'credit'
    AND (j.model, greatest(j.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY ALL
HAVING sum(sign) > 0
COMMENT 'The credits that stand now: issued and not taken back, under the version of each model that is in force. Take one model: each divides all conversions.';

CREATE OR REPLACE VIEW ${database}.credits_all_versions ${on_cluster} AS
SELECT j.model AS model, j.model_version AS model_version, partner, transaction_id, touch_id, touch_kind, touch_at, occurred_at, status, weight,
    value, payout, currency, goal, campaign, affiliate, offer, channel, country, device, bot
FROM ${database}.journal AS j
WHERE kind = 'credit'
GROUP BY ALL
HAVING sum(sign) > 0
COMMENT 'The credits that stand now under every version of every model. Take one model and one version: each divides all conversions.';

