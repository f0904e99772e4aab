-- What joins the visitors of one person: a new kind of row, and whose touches a request that was sent on is credited with.
ALTER TABLE ${database}.journal ${on_cluster}
    MODIFY COLUMN kind Enum8('impression' = 1, 'click' = 2, 'lead' = 3, 'conversion' = 4, 'request' = 5, 'count' = 6, 'credit' = 7,
        'reject' = 8, 'forward' = 9, 'flush' = 10, 'postback' = 11, 'link' = 12);

ALTER TABLE ${database}.journal ${on_cluster}
    ADD COLUMN IF NOT EXISTS purpose LowCardinality(String) COMMENT 'Of a link: claim, pair or touch' AFTER request,
    ADD COLUMN IF NOT EXISTS identity_key String COMMENT 'Of a claim: kind and keyed hash' AFTER purpose,
    ADD COLUMN IF NOT EXISTS winner String COMMENT 'Of a pair: the smaller visitor; empty where a key is over the limit' AFTER identity_key,
    ADD COLUMN IF NOT EXISTS origin String COMMENT 'Of a touch that was sent on: whose it was; of a request: whom the conversion came to' AFTER winner,
    ADD COLUMN IF NOT EXISTS person String COMMENT 'Of a request that was sent on, and its credits: whose touches earn' AFTER origin,
    ADD COLUMN IF NOT EXISTS step Int64 COMMENT 'Of a request: of two of one revision the higher one stands' AFTER person;

CREATE OR REPLACE VIEW ${database}.identity_links ${on_cluster} AS
SELECT _ingested_at AS known_at, purpose, occurred_at, visitor_id, winner, identity_key, origin, touch_id, touch_kind, verdict, _source AS source,
    _offset AS offset
FROM ${database}.journal
WHERE kind = 'link'
COMMENT 'What joined visitors: who claimed which key (verdict over_limit: quarantined), which visitor belongs to which, which touches went there';
