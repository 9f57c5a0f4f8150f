-- Answers already given, by idempotency key.
CREATE TABLE idempotency (
    method       TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    fingerprint  BYTEA  NOT NULL,  -- hash of each top-level field of the request
    code         BIGINT,           -- gRPC code of the stored answer; NULL while the first call runs
    response     BYTEA,
    message      TEXT,
    details      BYTEA,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (method, request_id)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Events of committed transactions that wait for their position.
CREATE TABLE outbox (
    seq          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     TEXT   NOT NULL,
    customer_id  TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    recorded_at  BIGINT NOT NULL,
    type_url     TEXT   NOT NULL,
    payload      BYTEA  NOT NULL,
    traceparent  TEXT   NOT NULL
);

-- The change feed: positions have no gaps.
CREATE TABLE feed (
    position     BIGINT PRIMARY KEY,
    event_id     TEXT   NOT NULL UNIQUE,
    customer_id  TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    recorded_at  BIGINT NOT NULL,
    type_url     TEXT   NOT NULL,
    payload      BYTEA  NOT NULL,
    traceparent  TEXT   NOT NULL
);

-- One row: its lock is what makes one sequencer at a time.
CREATE TABLE feed_head (
    part         BIGINT PRIMARY KEY CHECK (part = 0),
    epoch        TEXT   NOT NULL,
    position     BIGINT NOT NULL CHECK (position >= 0),
    floor        BIGINT NOT NULL CHECK (floor >= 0 AND floor <= position)
);

-- Durable consumers: checkpoint and fenced lease.
CREATE TABLE consumer (
    name         TEXT   PRIMARY KEY,
    source       TEXT   NOT NULL,
    position     TEXT   NOT NULL,
    lag_events   BIGINT NOT NULL,
    owner        TEXT   NOT NULL,
    epoch        BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL   -- by the database's clock
);

-- Events a consumer could not apply.
CREATE TABLE parked_event (
    consumer     TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    position     TEXT    NOT NULL,
    customer_id  TEXT    NOT NULL,
    revision     BIGINT  NOT NULL,
    recorded_at  BIGINT  NOT NULL,
    type_url     TEXT    NOT NULL,
    payload      BYTEA   NOT NULL,
    traceparent  TEXT    NOT NULL,
    failure      TEXT    NOT NULL,
    attempts     BIGINT  NOT NULL,
    parked_at    BIGINT  NOT NULL,
    replay       BOOLEAN NOT NULL,
    PRIMARY KEY (consumer, event_id)
);

-- The newest revision of each customer, by source, that this database has applied.
CREATE TABLE seen (
    source       TEXT   NOT NULL,
    customer_id  TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    PRIMARY KEY (source, customer_id)
);
