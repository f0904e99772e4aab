CREATE OR REPLACE VIEW ${database}.funnel_live ${on_cluster} AS
SELECT minute, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc
FROM
(
    SELECT minute, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT r.bucket AS minute, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= now() - INTERVAL 1 HOUR GROUP BY ALL
    ) AS u
    GROUP BY minute, currency
    WINDOW whole AS (PARTITION BY minute)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.funnel_live ${on_cluster}
    MODIFY COMMENT 'The funnel of the last hour by minute, as it is counted. Moves with the clock.',
    COMMENT COLUMN minute 'Minute in which it happened, UTC',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click';

CREATE OR REPLACE VIEW ${database}.funnel_daily ${on_cluster} AS
SELECT day, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout, CAST(toDecimal128(spend_micros, 6) / 1000000 AS Decimal(18, 6)) AS spend,
    payout + spend AS cost,
    revenue - cost AS margin,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc,
    toFloat64(cost) / nullIf(clicks, 0) AS cpc,
    toFloat64(cost) / nullIf(leads, 0) AS cpl,
    toFloat64(cost) / nullIf(conversions, 0) AS cac,
    toFloat64(revenue) / nullIf(toFloat64(cost), 0) AS roas,
    toFloat64(margin) / nullIf(toFloat64(revenue), 0) AS margin_rate
FROM
(
    SELECT day, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT toDate(r.bucket) AS day, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_day AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') GROUP BY ALL
    UNION ALL
    SELECT c.day AS day, c.currency AS currency, toInt64(0) AS impressions, toInt64(0) AS clicks,
        toInt64(0) AS leads, toFloat64(0) AS conversions, toInt64(0) AS revenue, toInt64(0) AS payout, sum(c.amount) AS spend
    FROM ${database}.costs AS c FINAL GROUP BY ALL
    ) AS u
    GROUP BY day, currency
    WINDOW whole AS (PARTITION BY day)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.funnel_daily ${on_cluster}
    MODIFY COMMENT 'The funnel by day, as it is counted, with costs.',
    COMMENT COLUMN day 'Day on which it happened, UTC',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN spend 'Imported advertising costs (funnel costs import)',
    COMMENT COLUMN cost 'Payout and spend',
    COMMENT COLUMN margin 'Revenue less cost',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click',
    COMMENT COLUMN cpc 'Cost per click',
    COMMENT COLUMN cpl 'Cost per lead',
    COMMENT COLUMN cac 'Customer acquisition cost: cost per conversion',
    COMMENT COLUMN roas 'Return on advertising spend: revenue per cost',
    COMMENT COLUMN margin_rate 'Margin per revenue';

CREATE OR REPLACE VIEW ${database}.campaigns ${on_cluster} AS
SELECT day, campaign, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout, CAST(toDecimal128(spend_micros, 6) / 1000000 AS Decimal(18, 6)) AS spend,
    payout + spend AS cost,
    revenue - cost AS margin,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc,
    toFloat64(cost) / nullIf(clicks, 0) AS cpc,
    toFloat64(cost) / nullIf(leads, 0) AS cpl,
    toFloat64(cost) / nullIf(conversions, 0) AS cac,
    toFloat64(revenue) / nullIf(toFloat64(cost), 0) AS roas,
    toFloat64(margin) / nullIf(toFloat64(revenue), 0) AS margin_rate
FROM
(
    SELECT day, campaign, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT toDate(r.bucket) AS day, toString(r.campaign) AS campaign, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        sumIf(r.credit_weight, r.model = 'last_click') / 1e9 AS conversions,
        sumIf(r.revenue, r.model = 'last_click') AS revenue, sumIf(r.payout, r.model = 'last_click') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_day AS r WHERE r._source = '' AND (r.model = '' OR r.model = 'last_click')
        AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force) GROUP BY ALL
    UNION ALL
    SELECT c.day AS day, c.campaign AS campaign, c.currency AS currency, toInt64(0) AS impressions, toInt64(0) AS clicks,
        toInt64(0) AS leads, toFloat64(0) AS conversions, toInt64(0) AS revenue, toInt64(0) AS payout, sum(c.amount) AS spend
    FROM ${database}.costs AS c FINAL GROUP BY ALL
    ) AS u
    GROUP BY day, campaign, currency
    WINDOW whole AS (PARTITION BY day, campaign)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.campaigns ${on_cluster}
    MODIFY COMMENT 'Campaigns by day; conversions are those whose last click they own.',
    COMMENT COLUMN day 'Day on which it happened, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN spend 'Imported advertising costs (funnel costs import)',
    COMMENT COLUMN cost 'Payout and spend',
    COMMENT COLUMN margin 'Revenue less cost',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click',
    COMMENT COLUMN cpc 'Cost per click',
    COMMENT COLUMN cpl 'Cost per lead',
    COMMENT COLUMN cac 'Customer acquisition cost: cost per conversion',
    COMMENT COLUMN roas 'Return on advertising spend: revenue per cost',
    COMMENT COLUMN margin_rate 'Margin per revenue';

CREATE OR REPLACE VIEW ${database}.affiliates ${on_cluster} AS
SELECT day, affiliate, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout,
    payout AS cost,
    revenue - cost AS margin,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc,
    toFloat64(cost) / nullIf(clicks, 0) AS cpc,
    toFloat64(cost) / nullIf(leads, 0) AS cpl,
    toFloat64(cost) / nullIf(conversions, 0) AS cac,
    toFloat64(revenue) / nullIf(toFloat64(cost), 0) AS roas,
    toFloat64(margin) / nullIf(toFloat64(revenue), 0) AS margin_rate
FROM
(
    SELECT day, affiliate, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT toDate(r.bucket) AS day, toString(r.affiliate) AS affiliate, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        sumIf(r.credit_weight, r.model = 'last_click') / 1e9 AS conversions,
        sumIf(r.revenue, r.model = 'last_click') AS revenue, sumIf(r.payout, r.model = 'last_click') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_day AS r WHERE r._source = '' AND (r.model = '' OR r.model = 'last_click')
        AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force) GROUP BY ALL
    ) AS u
    GROUP BY day, affiliate, currency
    WINDOW whole AS (PARTITION BY day, affiliate)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.affiliates ${on_cluster}
    MODIFY COMMENT 'Affiliates by day; conversions are those whose last click they own.',
    COMMENT COLUMN day 'Day on which it happened, UTC',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN cost 'Payout: advertising costs are known by campaign only',
    COMMENT COLUMN margin 'Revenue less cost',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click',
    COMMENT COLUMN cpc 'Cost per click',
    COMMENT COLUMN cpl 'Cost per lead',
    COMMENT COLUMN cac 'Customer acquisition cost: cost per conversion',
    COMMENT COLUMN roas 'Return on advertising spend: revenue per cost',
    COMMENT COLUMN margin_rate 'Margin per revenue';

CREATE OR REPLACE VIEW ${database}.offers ${on_cluster} AS
SELECT day, offer, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout,
    payout AS cost,
    revenue - cost AS margin,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc,
    toFloat64(cost) / nullIf(clicks, 0) AS cpc,
    toFloat64(cost) / nullIf(leads, 0) AS cpl,
    toFloat64(cost) / nullIf(conversions, 0) AS cac,
    toFloat64(revenue) / nullIf(toFloat64(cost), 0) AS roas,
    toFloat64(margin) / nullIf(toFloat64(revenue), 0) AS margin_rate
FROM
(
    SELECT day, offer, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT toDate(r.bucket) AS day, toString(r.offer) AS offer, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        sumIf(r.credit_weight, r.model = 'last_click') / 1e9 AS conversions,
        sumIf(r.revenue, r.model = 'last_click') AS revenue, sumIf(r.payout, r.model = 'last_click') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_day AS r WHERE r._source = '' AND (r.model = '' OR r.model = 'last_click')
        AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force) GROUP BY ALL
    ) AS u
    GROUP BY day, offer, currency
    WINDOW whole AS (PARTITION BY day, offer)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.offers ${on_cluster}
    MODIFY COMMENT 'Offers by day; conversions are those whose last click they own.',
    COMMENT COLUMN day 'Day on which it happened, UTC',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN cost 'Payout: advertising costs are known by campaign only',
    COMMENT COLUMN margin 'Revenue less cost',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click',
    COMMENT COLUMN cpc 'Cost per click',
    COMMENT COLUMN cpl 'Cost per lead',
    COMMENT COLUMN cac 'Customer acquisition cost: cost per conversion',
    COMMENT COLUMN roas 'Return on advertising spend: revenue per cost',
    COMMENT COLUMN margin_rate 'Margin per revenue';

CREATE OR REPLACE VIEW ${database}.attribution ${on_cluster} AS
SELECT r.model AS model, toDate(r.bucket) AS day, r.campaign AS campaign, r.affiliate AS affiliate, r.offer AS offer,
    r.channel AS channel, r.currency AS currency, sum(r.credit_weight) / 1e9 AS conversions,
    CAST(toDecimal128(sum(r.revenue), 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(sum(r.payout), 6) / 1000000 AS Decimal(18, 6)) AS payout
FROM ${database}.rollup_day AS r
WHERE r.model != '' AND r._source = ''
    AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY ALL;

ALTER TABLE ${database}.attribution ${on_cluster}
    MODIFY COMMENT 'Credit as it stands now, by model and day of the conversion.',
    COMMENT COLUMN model 'Attribution model, in the version in force. Take one at a time: each credits the same conversions',
    COMMENT COLUMN day 'Day of the conversion, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN channel 'Channel group; unattributed where no click earned the credit',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN conversions 'Pending and approved conversions credited; parts where a model shares',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them';

CREATE OR REPLACE VIEW ${database}.cohorts ${on_cluster} AS
SELECT click_week, weeks AS weeks_after, currency, clicks, won AS conversions,
    sum(won) OVER so_far AS conversions_so_far, CAST(toDecimal128(micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(sum(micros) OVER so_far, 6) / 1000000 AS Decimal(18, 6)) AS revenue_so_far,
    conversions_so_far / nullIf(clicks, 0) AS cr_so_far,
    toUInt8(click_week + 7 * (weeks + 1) <= toDate(now('UTC'))) AS mature
FROM
(
    SELECT toMonday(j.touch_at) AS click_week, intDiv(toMonday(j.occurred_at) - click_week, 7) AS weeks, j.currency AS currency,
        sum(j.sign * j.weight) / 1e9 AS won, sum(j.sign * ifNull(j.value, 0)) AS micros
    FROM ${database}.journal AS j
    WHERE j.kind = 'credit' AND j.model = 'last_click' AND j.status IN ('pending', 'approved') AND j.channel != 'unattributed'
        AND (j.model, greatest(j.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
    GROUP BY click_week, weeks, currency
    HAVING won != 0 OR micros != 0
) AS credited
LEFT JOIN
(
    SELECT toMonday(r.bucket) AS week, sum(r.clicks) AS clicks
    FROM ${database}.rollup_day AS r WHERE r.model = '' AND r._source = '' AND r.bot = 0
    GROUP BY week
) AS clicked ON week = click_week
WINDOW so_far AS (PARTITION BY click_week, currency ORDER BY weeks);

ALTER TABLE ${database}.cohorts ${on_cluster}
    MODIFY COMMENT 'Clicks by week, and what became of them in the weeks that followed.',
    COMMENT COLUMN click_week 'Monday of the week of the click, UTC',
    COMMENT COLUMN weeks_after 'Weeks from the click\'s to the conversion\'s',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN clicks 'Clicks of the cohort, without known bots; the same in each of its rows',
    COMMENT COLUMN conversions 'Conversions of the cohort that many weeks after, credited to the last click',
    COMMENT COLUMN conversions_so_far 'Those and the earlier ones',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN revenue_so_far 'That and the earlier weeks\'',
    COMMENT COLUMN cr_so_far 'Conversions so far per click of the cohort',
    COMMENT COLUMN mature '1 where that week is over: only what comes late may still change it';

CREATE OR REPLACE VIEW ${database}.time_to_convert ${on_cluster} AS
SELECT toDate(c.occurred_at) AS day, c.campaign AS campaign, c.affiliate AS affiliate, c.offer AS offer, count() AS conversions,
    avg(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000) AS mean_seconds, quantileExact(0.5)(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000) AS median_seconds, quantileExact(0.9)(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000) AS p90_seconds,
    countIf(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000 < 3600) AS within_hour, countIf(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000 < 86400) AS within_day, countIf(dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000 < 604800) AS within_week
FROM ${database}.credits AS c
WHERE c.model = 'last_click' AND c.channel != 'unattributed' AND c.status IN ('pending', 'approved')
GROUP BY ALL;

ALTER TABLE ${database}.time_to_convert ${on_cluster}
    MODIFY COMMENT 'How long it takes from the last click to the conversion.',
    COMMENT COLUMN day 'Day on which it happened, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN conversions 'Pending and approved conversions that have a last click',
    COMMENT COLUMN mean_seconds 'From the last click to the conversion',
    COMMENT COLUMN median_seconds 'Half of them took no longer',
    COMMENT COLUMN p90_seconds 'Nine of ten took no longer',
    COMMENT COLUMN within_hour 'Conversions less than an hour after the click',
    COMMENT COLUMN within_day 'Conversions less than 24 hours after the click',
    COMMENT COLUMN within_week 'Conversions less than 7 days after the click';

CREATE OR REPLACE VIEW ${database}.rolling ${on_cluster} AS
SELECT window, minutes, since, currency, first_currency, impressions, clicks, leads, conversions,
    CAST(toDecimal128(revenue_micros, 6) / 1000000 AS Decimal(18, 6)) AS revenue, CAST(toDecimal128(payout_micros, 6) / 1000000 AS Decimal(18, 6)) AS payout,
    clicks / nullIf(impressions, 0) AS ctr,
    leads / nullIf(clicks, 0) AS lead_rate,
    conversions / nullIf(clicks, 0) AS cr,
    toFloat64(revenue) / nullIf(clicks, 0) AS epc
FROM
(
    SELECT window, minutes, since, currency, sum(sum(u.impressions)) OVER whole AS impressions, sum(sum(u.clicks)) OVER whole AS clicks, sum(sum(u.leads)) OVER whole AS leads, sum(u.conversions) AS conversions,
        sum(u.revenue) AS revenue_micros, sum(u.payout) AS payout_micros, sum(u.spend) AS spend_micros, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    SELECT '1 minute' AS window, toUInt32(1) AS minutes, toStartOfMinute(now('UTC')) - INTERVAL 0 MINUTE AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfMinute(now('UTC')) - INTERVAL 0 MINUTE GROUP BY ALL
    UNION ALL
    SELECT '5 minutes' AS window, toUInt32(5) AS minutes, toStartOfMinute(now('UTC')) - INTERVAL 4 MINUTE AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfMinute(now('UTC')) - INTERVAL 4 MINUTE GROUP BY ALL
    UNION ALL
    SELECT '15 minutes' AS window, toUInt32(15) AS minutes, toStartOfMinute(now('UTC')) - INTERVAL 14 MINUTE AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfMinute(now('UTC')) - INTERVAL 14 MINUTE GROUP BY ALL
    UNION ALL
    SELECT '60 minutes' AS window, toUInt32(60) AS minutes, toStartOfMinute(now('UTC')) - INTERVAL 59 MINUTE AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfMinute(now('UTC')) - INTERVAL 59 MINUTE GROUP BY ALL
    UNION ALL
    SELECT '24 hours' AS window, toUInt32(1440) AS minutes, toStartOfMinute(now('UTC')) - INTERVAL 1439 MINUTE AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_minute AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfMinute(now('UTC')) - INTERVAL 1439 MINUTE GROUP BY ALL
    UNION ALL
    SELECT '7 days' AS window, toUInt32(10080) AS minutes, toStartOfHour(now('UTC')) - INTERVAL 167 HOUR AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_hour AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfHour(now('UTC')) - INTERVAL 167 HOUR GROUP BY ALL
    UNION ALL
    SELECT '30 days' AS window, toUInt32(43200) AS minutes, toStartOfHour(now('UTC')) - INTERVAL 719 HOUR AS since, r.currency AS currency, sumIf(r.impressions, r.model = '' AND r.bot = 0) AS impressions, sumIf(r.clicks, r.model = '' AND r.bot = 0) AS clicks, sumIf(r.leads, r.model = '' AND r.bot = 0) AS leads,
        toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = '')) AS conversions,
        sumIf(r.revenue, r.model = '') AS revenue, sumIf(r.payout, r.model = '') AS payout, toInt64(0) AS spend
    FROM ${database}.rollup_hour AS r WHERE r._source = '' AND (r.model = '' OR r.model = '') AND r.bucket >= toStartOfHour(now('UTC')) - INTERVAL 719 HOUR GROUP BY ALL
    ) AS u
    GROUP BY window, minutes, since, currency
    WINDOW whole AS (PARTITION BY window, minutes, since)
)
WHERE currency != '' OR last = '';

ALTER TABLE ${database}.rolling ${on_cluster}
    MODIFY COMMENT 'The funnel of the last 1, 5, 15 and 60 minutes, 24 hours, 7 and 30 days, the current minute (from 7 days on: hour) included.',
    COMMENT COLUMN window 'The stretch that ends now',
    COMMENT COLUMN minutes 'Length of the window; sort by it',
    COMMENT COLUMN since 'Begin of the window, UTC',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN first_currency '1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1',
    COMMENT COLUMN impressions 'Impressions, without known bots',
    COMMENT COLUMN clicks 'Clicks, without known bots',
    COMMENT COLUMN leads 'Leads, without known bots',
    COMMENT COLUMN conversions 'Pending and approved conversions in this currency',
    COMMENT COLUMN revenue 'Value of pending and approved conversions',
    COMMENT COLUMN payout 'What affiliates get for them',
    COMMENT COLUMN ctr 'Click-through rate: clicks per impression',
    COMMENT COLUMN lead_rate 'Leads per click',
    COMMENT COLUMN cr 'Conversion rate: conversions per click',
    COMMENT COLUMN epc 'Earnings per click: revenue per click';

CREATE OR REPLACE VIEW ${database}.status_by_conversion ${on_cluster} AS
SELECT toDate(r.bucket) AS day, r.campaign AS campaign, r.affiliate AS affiliate, r.offer AS offer, r.channel AS channel, r.currency AS currency, r.status AS status,
    sum(r.conversions) AS conversions, CAST(toDecimal128(sum(r.value), 6) / 1000000 AS Decimal(18, 6)) AS value, CAST(toDecimal128(sum(r.payout), 6) / 1000000 AS Decimal(18, 6)) AS payout, sum(r.flagged) AS flagged
FROM ${database}.rollup_status AS r
WHERE r._source = '' AND r.basis = 'conversion'
GROUP BY ALL
HAVING conversions != 0 OR value != 0 OR payout != 0;

ALTER TABLE ${database}.status_by_conversion ${on_cluster}
    MODIFY COMMENT 'Conversions by status and day of the conversion, as they are counted.',
    COMMENT COLUMN day 'Day of the conversion, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN channel 'Channel group; unattributed where no click earned the credit',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN status 'pending, approved, rejected or reversed',
    COMMENT COLUMN conversions 'Conversions counted',
    COMMENT COLUMN value 'Value as reported, whatever the status',
    COMMENT COLUMN payout 'Payout as reported, whatever the status',
    COMMENT COLUMN flagged 'Those that came to their status in a way that is flagged (see conversions)';

CREATE OR REPLACE VIEW ${database}.status_by_approval ${on_cluster} AS
SELECT toDate(r.bucket) AS day, r.campaign AS campaign, r.affiliate AS affiliate, r.offer AS offer, r.channel AS channel, r.currency AS currency, r.status AS status,
    sum(r.conversions) AS conversions, CAST(toDecimal128(sum(r.value), 6) / 1000000 AS Decimal(18, 6)) AS value, CAST(toDecimal128(sum(r.payout), 6) / 1000000 AS Decimal(18, 6)) AS payout, sum(r.flagged) AS flagged
FROM ${database}.rollup_status AS r
WHERE r._source = '' AND r.basis = 'approval'
GROUP BY ALL
HAVING conversions != 0 OR value != 0 OR payout != 0;

ALTER TABLE ${database}.status_by_approval ${on_cluster}
    MODIFY COMMENT 'Conversions that were ever approved by status now and day of approval, as they are counted.',
    COMMENT COLUMN day 'Day on which it was approved, or was the last time, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN channel 'Channel group; unattributed where no click earned the credit',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN status 'pending, approved, rejected or reversed',
    COMMENT COLUMN conversions 'Conversions counted',
    COMMENT COLUMN value 'Value as reported, whatever the status',
    COMMENT COLUMN payout 'Payout as reported, whatever the status',
    COMMENT COLUMN flagged 'Those that came to their status in a way that is flagged (see conversions)';

CREATE OR REPLACE VIEW ${database}.status_by_click ${on_cluster} AS
SELECT toDate(r.bucket) AS day, r.model AS model, r.campaign AS campaign, r.affiliate AS affiliate, r.offer AS offer, r.channel AS channel, r.currency AS currency, r.status AS status,
    sum(r.credit_weight) / 1e9 AS conversions, CAST(toDecimal128(sum(r.value), 6) / 1000000 AS Decimal(18, 6)) AS value, CAST(toDecimal128(sum(r.payout), 6) / 1000000 AS Decimal(18, 6)) AS payout
FROM ${database}.rollup_status AS r
WHERE r._source = '' AND r.basis = 'click'
    AND (r.model, greatest(r.model_version, 1)) NOT IN (SELECT v.model, v.model_version FROM ${database}.attribution_versions AS v WHERE NOT v.in_force)
GROUP BY ALL
HAVING conversions != 0 OR value != 0 OR payout != 0;

ALTER TABLE ${database}.status_by_click ${on_cluster}
    MODIFY COMMENT 'Conversions by status and day of the click that earned them. What no click earned is not here.',
    COMMENT COLUMN model 'Attribution model, in the version in force. Take one at a time: each credits the same conversions',
    COMMENT COLUMN day 'Day of the click (under models that look at others: touch) that earned the credit, UTC',
    COMMENT COLUMN campaign 'Campaign; empty where none was named',
    COMMENT COLUMN affiliate 'Affiliate; empty where none was named',
    COMMENT COLUMN offer 'Offer; empty where none was named',
    COMMENT COLUMN channel 'Channel group; unattributed where no click earned the credit',
    COMMENT COLUMN currency 'ISO 4217. Take one at a time; empty where no money is known',
    COMMENT COLUMN status 'pending, approved, rejected or reversed',
    COMMENT COLUMN conversions 'Conversions credited; parts where a model shares',
    COMMENT COLUMN value 'Recognised value credited: 0 unless pending or approved',
    COMMENT COLUMN payout 'Recognised payout credited: 0 unless pending or approved';

ALTER TABLE ${database}.leads ${on_cluster}
    MODIFY COMMENT 'Leads as they came, one row each.',
    COMMENT COLUMN email_hash 'Keyed hash of the address',
    COMMENT COLUMN value 'Micros',
    COMMENT COLUMN bot '1 for a known crawler';

ALTER TABLE ${database}.conversions ${on_cluster}
    MODIFY COMMENT 'The state of each transaction now, one row each.',
    COMMENT COLUMN status 'pending, approved, rejected or reversed',
    COMMENT COLUMN value 'Micros',
    COMMENT COLUMN payout 'Micros',
    COMMENT COLUMN recognised_value 'Micros; 0 unless pending or approved',
    COMMENT COLUMN recognised_payout 'Micros; 0 unless pending or approved',
    COMMENT COLUMN revision 'Events of the transaction so far',
    COMMENT COLUMN approved_at 'Since when it is approved, or was the last time; NULL if never, or counted before that was kept',
    COMMENT COLUMN flag 'What is wrong with the last change of status or amount; empty if nothing is';

