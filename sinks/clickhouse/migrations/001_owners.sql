-- Who may write rows of a source: the newest token wins. Never read by joins, only by joinGet in constraints.
CREATE TABLE IF NOT EXISTS ${database}.owners ${on_cluster}
(
    source String COMMENT 'cluster/topic/partition',
    token UInt64 COMMENT 'Drawn by the worker that took the source over last; never 0'
)
ENGINE = Join(ANY, LEFT, source)
SETTINGS join_any_take_last_row = 1;
