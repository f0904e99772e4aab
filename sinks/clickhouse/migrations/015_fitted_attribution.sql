-- What `funnel attribution fit` found. Fits are added, never changed.
CREATE TABLE IF NOT EXISTS ${database}.fitted_attribution ${on_cluster}
(
    fitted_at DateTime64(3, 'UTC') COMMENT 'When the fit was made: one value per fit',
    model LowCardinality(String) COMMENT 'markov or shapley',
    dimension LowCardinality(String) COMMENT 'What name is: channel, campaign or affiliate',
    name String COMMENT 'The channel, campaign or affiliate; empty where none was named',
    first_day Date COMMENT 'First day of the journeys, UTC',
    last_day Date COMMENT 'Last day of the journeys, UTC',
    currency LowCardinality(String) COMMENT 'ISO 4217, of the conversions that counted',
    converted UInt64 COMMENT 'Sample size: journeys that converted',
    unconverted UInt64 COMMENT 'Sample size: journeys that did not',
    effect Float64 COMMENT 'markov: share of all conversions lost without it; shapley: conversions it is worth',
    weight Int64 COMMENT 'Share in parts of 10^9; those of a fit add up to 10^9',
    value Int64 COMMENT 'Micros; those of a fit add up to the value of its conversions'
)
ENGINE = ${MergeTree}
ORDER BY (model, dimension, fitted_at, name)
COMMENT 'Data-driven attribution (funnel attribution fit), by fit. Take one fitted_at: each fit divides all its conversions';

CREATE OR REPLACE VIEW ${database}.fitted_attribution_latest ${on_cluster} AS
SELECT model, dimension, name, weight / 1e9 AS share, value / 1e6 AS value, currency, effect, converted, unconverted, first_day, last_day, fitted_at
FROM ${database}.fitted_attribution
WHERE (model, dimension, currency, fitted_at) IN
    (SELECT model, dimension, currency, max(fitted_at) FROM ${database}.fitted_attribution GROUP BY model, dimension, currency)
COMMENT 'The newest fit of each model, dimension and currency. Take one of each: every fit divides all its conversions';
