-- A new kind of row, the calls of partners' servers, and the telephone hash of leads.
ALTER TABLE ${database}.journal ${on_cluster}
    MODIFY COLUMN kind Enum8('impression' = 1, 'click' = 2, 'lead' = 3, 'conversion' = 4, 'request' = 5, 'count' = 6, 'credit' = 7,
        'reject' = 8, 'forward' = 9, 'flush' = 10, 'postback' = 11);

ALTER TABLE ${database}.journal ${on_cluster}
    ADD COLUMN IF NOT EXISTS phone_hash String COMMENT 'Keyed hash' AFTER email_hash,
    ADD COLUMN IF NOT EXISTS verdict LowCardinality(String) COMMENT 'Of a postback: accepted or refused' AFTER reason,
    ADD COLUMN IF NOT EXISTS conversion_id String COMMENT 'Of a postback: event_id of the conversion made of it' AFTER verdict,
    ADD COLUMN IF NOT EXISTS request String COMMENT 'Of a postback: what was sent, without secrets and personal data' AFTER conversion_id;

-- Every call of a partner's server, what was decided and why.
CREATE VIEW IF NOT EXISTS ${database}.postbacks ${on_cluster} AS
SELECT event_id AS postback_id, received_at, partner, transaction_id, click_id, verdict, reason, detail, toUUIDOrNull(conversion_id) AS conversion_id,
    request, ip, user_agent
FROM ${database}.journal
WHERE kind = 'postback';

CREATE OR REPLACE VIEW ${database}.leads ${on_cluster} AS
SELECT event_id, occurred_at, received_at, visitor_id, lead_id, click_id, form, email_hash, phone_hash, value, currency, campaign, affiliate, offer,
    creative, channel, country, network, browser, os, device, bot, utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, landing_url,
    sub1, sub2, sub3, sub4, sub5, ip, user_agent, consent
FROM ${database}.journal
WHERE kind = 'lead';
