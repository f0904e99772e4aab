-- The ledger, explained where people look at it, with what is wrong in views of their own. All of it follows from flush rows, which are kept for ever.
CREATE OR REPLACE VIEW ${database}.ledger ${on_cluster} AS
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
) AS f
COMMENT 'Per source and flush: what became of the records read. imbalance, gap and overlap (in offsets, to the flush before it) are 0';

CREATE OR REPLACE VIEW ${database}.ledger_sources ${on_cluster} AS
SELECT l.source AS source, count() AS flushes, min(l.first_offset) AS first_offset, max(l.last_offset) AS last_offset,
    max(l.flushed_at) AS flushed_at, sum(l.received) AS received, sum(l.journaled) AS journaled, sum(l.duplicates) AS duplicates,
    sum(l.rejects) AS rejects, sum(l.imbalance) AS imbalance, sum(l.gap) AS gaps, sum(l.overlap) AS overlaps
FROM ${database}.ledger AS l
GROUP BY l.source
COMMENT 'Per source: received = journaled + duplicates + rejects, or imbalance is not 0. gaps and overlaps are numbers of offsets';

CREATE OR REPLACE VIEW ${database}.ledger_gaps ${on_cluster} AS
SELECT source, first_offset - gap AS first_missing, first_offset - 1 AS last_missing, gap AS offsets, flushed_at
FROM ${database}.ledger
WHERE gap > 0
COMMENT 'Offsets that no flush covers: records lost, unless a log loss was accepted. Empty if all is well';

CREATE OR REPLACE VIEW ${database}.ledger_overlaps ${on_cluster} AS
SELECT source, first_offset AS first_repeated, first_offset + overlap - 1 AS last_repeated, overlap AS offsets, flushed_at
FROM ${database}.ledger
WHERE overlap > 0
COMMENT 'Offsets that more than one flush covers: records counted twice, or of another log of the same name. Empty if all is well';
