-- Customers of the feed. A deleted one stays as a mark, so that a late event cannot bring it back.
CREATE TABLE customers (
    customer_id           TEXT    PRIMARY KEY,
    revision              BIGINT  NOT NULL,  -- grows by one with every change of the stars
    ignored_transactions  BIGINT  NOT NULL,  -- in another currency than the base's
    deleted               BOOLEAN NOT NULL
);

-- What was taken into the days below, so that a void takes out exactly that, once.
CREATE TABLE transactions (
    customer_id     TEXT    NOT NULL,
    transaction_id  TEXT    NOT NULL,
    day             BIGINT  NOT NULL,
    spend_micros    BIGINT  NOT NULL,
    categories      TEXT    NOT NULL,  -- JSON list, distinct
    counted         BOOLEAN NOT NULL,  -- false for another currency
    voided          BOOLEAN NOT NULL,
    PRIMARY KEY (customer_id, transaction_id)
);

-- Purchases by UTC day (days since 1970).
CREATE TABLE customer_days (
    customer_id   TEXT   NOT NULL,
    day           BIGINT NOT NULL,
    orders        BIGINT NOT NULL,
    -- SQLite turns a sum beyond 64 bits into an inexact REAL: refuse it.
    spend_micros  BIGINT NOT NULL CHECK (typeof(spend_micros) = 'integer'),
    PRIMARY KEY (customer_id, day)
);

CREATE TABLE customer_categories (
    customer_id  TEXT   NOT NULL,
    day          BIGINT NOT NULL,
    category     TEXT   NOT NULL,
    orders       BIGINT NOT NULL,
    PRIMARY KEY (customer_id, day, category)
);

CREATE TABLE rating_models (
    model_id      TEXT   PRIMARY KEY,
    version       BIGINT NOT NULL UNIQUE,
    display_name  TEXT   NOT NULL,
    definition    TEXT   NOT NULL,  -- JSON, immutable
    state         TEXT   NOT NULL CHECK (state IN ('draft', 'active', 'retired')),
    reference_id  TEXT,             -- its newest reference
    created_at    BIGINT NOT NULL,
    activated_at  BIGINT
);
CREATE UNIQUE INDEX rating_models_one_active ON rating_models (state) WHERE state = 'active';

CREATE TABLE rating_references (
    reference_id  TEXT   PRIMARY KEY,
    model_id      TEXT   NOT NULL REFERENCES rating_models (model_id),
    as_of         BIGINT NOT NULL,
    customers     BIGINT NOT NULL,
    tables        TEXT   NOT NULL,  -- JSON, a quantile table for each indicator
    built_at      BIGINT NOT NULL
);

CREATE TABLE ratings (
    customer_id   TEXT   PRIMARY KEY,
    revision      BIGINT NOT NULL,
    stars         BIGINT NOT NULL,
    raw_stars     BIGINT NOT NULL,
    held          BIGINT NOT NULL,
    score_ppm     BIGINT NOT NULL,
    raw_values    TEXT   NOT NULL,  -- JSON list, one for each indicator of the model, null when missing
    model_id      TEXT   NOT NULL,
    reference_id  TEXT   NOT NULL,
    as_of         BIGINT NOT NULL,
    stars_since   BIGINT NOT NULL
);
CREATE INDEX ratings_by_star ON ratings (stars, score_ppm, customer_id);

-- A row for each change of the stars.
CREATE TABLE rating_history (
    customer_id     TEXT   NOT NULL,
    revision        BIGINT NOT NULL,
    previous_stars  BIGINT NOT NULL,
    stars           BIGINT NOT NULL,
    raw_stars       BIGINT NOT NULL,
    held            BIGINT NOT NULL,
    score_ppm       BIGINT NOT NULL,
    raw_values      TEXT   NOT NULL,
    model_id        TEXT   NOT NULL,
    reference_id    TEXT   NOT NULL,
    as_of           BIGINT NOT NULL,
    stars_since     BIGINT NOT NULL,
    changed_at      BIGINT NOT NULL,
    PRIMARY KEY (customer_id, revision)
);

CREATE TABLE rfm_runs (
    run_id       TEXT   PRIMARY KEY,
    as_of        BIGINT NOT NULL,
    window_days  BIGINT NOT NULL,
    rule         BIGINT NOT NULL,
    customers    BIGINT NOT NULL,
    cuts         TEXT   NOT NULL,  -- JSON, for display
    created_at   BIGINT NOT NULL
);
CREATE INDEX rfm_runs_by_time ON rfm_runs (as_of, run_id);

CREATE TABLE rfm_scores (
    run_id           TEXT   NOT NULL,
    customer_id      TEXT   NOT NULL,
    recency_days     BIGINT NOT NULL,
    frequency        BIGINT NOT NULL,
    monetary_micros  BIGINT NOT NULL,
    recency_score    BIGINT NOT NULL,
    frequency_score  BIGINT NOT NULL,
    monetary_score   BIGINT NOT NULL,
    PRIMARY KEY (run_id, customer_id)
);
CREATE INDEX rfm_scores_by_customer ON rfm_scores (customer_id);

-- The model that rates from the start.
INSERT INTO rating_models
    (model_id, version, display_name, definition, state, reference_id, created_at, activated_at)
VALUES (
    'default',
    1,
    'Spend 60 %, frequency 30 %, category breadth 10 % over 365 days',
    '{"indicators":[{"kind":"spend","window_days":365,"weight":6000},{"kind":"frequency","window_days":365,"weight":3000},{"kind":"category_breadth","window_days":365,"weight":1000}],"bands":{"cuts":[200000,400000,600000,800000],"margin":40000,"dwell_days":30}}',
    'active',
    NULL,
    0,
    0
);
