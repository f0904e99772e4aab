-- The journal under plain names. Bookkeeping columns of the journal begin with an underscore and are left out.
CREATE VIEW IF NOT EXISTS ${database}.impressions ${on_cluster} AS
SELECT event_id, occurred_at, received_at, visitor_id, campaign, affiliate, offer, creative, channel, country, network, browser, os, device, bot,
    utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, landing_url, sub1, sub2, sub3, sub4, sub5, ip, user_agent, consent
FROM ${database}.journal
WHERE kind = 'impression';

CREATE VIEW IF NOT EXISTS ${database}.clicks ${on_cluster} AS
SELECT event_id, occurred_at, received_at, visitor_id, click_id, external_id, campaign, affiliate, offer, creative, channel, country, network,
    browser, os, device, bot, utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, landing_url, sub1, sub2, sub3, sub4, sub5,
    ip, user_agent, consent
FROM ${database}.journal
WHERE kind = 'click';

CREATE VIEW IF NOT EXISTS ${database}.leads ${on_cluster} AS
SELECT event_id, occurred_at, received_at, visitor_id, lead_id, click_id, form, email_hash, value, currency, campaign, affiliate, offer, creative,
    channel, country, network, browser, os, device, bot, utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, landing_url,
    sub1, sub2, sub3, sub4, sub5, ip, user_agent, consent
FROM ${database}.journal
WHERE kind = 'lead';

-- The state of each transaction now: the count row of its highest revision.
CREATE VIEW IF NOT EXISTS ${database}.conversions ${on_cluster} AS
SELECT partner, transaction_id, max(j.revision) AS revision,
    argMax(tuple(j.occurred_at, j.status, assumeNotNull(j.value), assumeNotNull(j.payout), j.currency, j.goal, j.click_id, j.lead_id, j.visitor_id,
        j.campaign, j.affiliate, j.offer, j.channel, j.country, j.device, j.bot), j.revision) AS state,
    state.1 AS occurred_at, state.2 AS status, state.3 AS value, state.4 AS payout,
    if(status IN ('pending', 'approved'), value, 0) AS recognised_value, if(status IN ('pending', 'approved'), payout, 0) AS recognised_payout,
    state.5 AS currency, state.6 AS goal, state.7 AS click_id, state.8 AS lead_id, state.9 AS visitor_id, state.10 AS campaign,
    state.11 AS affiliate, state.12 AS offer, state.13 AS channel, state.14 AS country, state.15 AS device, state.16 AS bot
FROM ${database}.journal AS j
WHERE j.kind = 'count' AND j.sign = 1
GROUP BY partner, transaction_id;

-- Every accepted conversion event, as it came.
CREATE VIEW IF NOT EXISTS ${database}.conversion_events ${on_cluster} AS
SELECT event_id, occurred_at, received_at, partner, transaction_id, goal, status, status_at, value, payout, currency, click_id, lead_id, visitor_id,
    campaign, affiliate, offer, creative, channel, country, network, browser, os, device, bot
FROM ${database}.journal
WHERE kind = 'conversion';

-- The credits in force: what was issued and not taken back.
CREATE VIEW IF NOT EXISTS ${database}.credits ${on_cluster} AS
SELECT model, partner, transaction_id, touch_id, touch_at, occurred_at, status, weight, value, payout, currency, goal, campaign, affiliate, offer,
    channel, country, device, bot
FROM ${database}.journal
WHERE kind = 'credit'
GROUP BY ALL
HAVING sum(sign) > 0;

CREATE VIEW IF NOT EXISTS ${database}.rejects ${on_cluster} AS
SELECT _source AS source, _offset AS offset, _record_time AS record_time, reason, detail, event_id, occurred_at, raw_key, raw
FROM ${database}.journal
WHERE kind = 'reject';

-- What became of every record read, per source and flush. A gap would be a loss, an overlap a doubling, an imbalance either.
CREATE VIEW IF NOT EXISTS ${database}.ledger ${on_cluster} AS
SELECT source, flushed_at, first_offset, last_offset, received, journaled, duplicates, rejects,
    toInt64(received) - journaled - duplicates - rejects AS imbalance,
    greatest(first_offset - expected, 0) AS gap,
    greatest(expected - first_offset, 0) AS overlap
FROM
(
    SELECT _source AS source, _ingested_at AS flushed_at, first_offset, _offset AS last_offset, received, journaled, duplicates, rejects,
        lagInFrame(_offset + 1, 1, first_offset) OVER
            (PARTITION BY _source ORDER BY _offset ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS expected
    FROM ${database}.journal
    WHERE kind = 'flush'
);

-- What happened per minute, and what was counted.
CREATE VIEW IF NOT EXISTS ${database}.funnel_minute ${on_cluster} AS
SELECT bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.impressions) AS impressions, sum(r.clicks) AS clicks,
    sum(r.leads) AS leads, sum(r.conversions_pending) AS conversions_pending, sum(r.conversions_approved) AS conversions_approved,
    sum(r.conversions_rejected) AS conversions_rejected, sum(r.conversions_reversed) AS conversions_reversed, sum(r.revenue) AS revenue,
    sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved,
    uniqCombined64Merge(r.visitors) AS visitors
FROM ${database}.rollup_minute AS r
WHERE model = '' AND _source = ''
GROUP BY bucket, campaign, affiliate, offer, channel, country, device, bot, currency;

-- What was credited, per minute of the conversion and attribution model.
CREATE VIEW IF NOT EXISTS ${database}.attribution_minute ${on_cluster} AS
SELECT model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency, sum(r.credit_weight) / 1e9 AS conversions,
    sum(r.revenue) AS revenue, sum(r.revenue_approved) AS revenue_approved, sum(r.payout) AS payout, sum(r.payout_approved) AS payout_approved
FROM ${database}.rollup_minute AS r
WHERE model != '' AND _source = ''
GROUP BY model, bucket, campaign, affiliate, offer, channel, country, device, bot, currency;
