-- SQLite cannot change a CHECK or drop a NOT NULL: the tables are written anew.

-- A lot may wait for an event: until then there is no instant from which on it can be spent.
CREATE TABLE new_lots (
    customer_id  TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    original     BIGINT NOT NULL CHECK (original > 0),
    remaining    BIGINT NOT NULL CHECK (remaining >= 0),
    held         BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0),
    consumed     BIGINT NOT NULL CHECK (consumed >= 0),
    expired      BIGINT NOT NULL CHECK (expired >= 0),
    reversed     BIGINT NOT NULL CHECK (reversed >= 0),
    qualifying   BIGINT NOT NULL CHECK (qualifying BETWEEN 0 AND original),
    earned_at    BIGINT NOT NULL,
    activates_at BIGINT,
    expires_at   BIGINT,
    cancelled_at BIGINT,
    PRIMARY KEY (customer_id, lot_id),
    CHECK (original = remaining + held + consumed + expired + reversed),
    CHECK (expires_at IS NULL OR expires_at > activates_at),
    CHECK (activates_at IS NOT NULL OR held = 0),
    CHECK (cancelled_at IS NULL OR (activates_at IS NULL AND remaining = 0 AND qualifying = 0))
);
INSERT INTO new_lots
    (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at)
SELECT
    customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at
FROM lots;
DROP TABLE lots;
ALTER TABLE new_lots RENAME TO lots;
CREATE INDEX lots_by_member ON lots (customer_id, program_id, earned_at);
CREATE TRIGGER lots_settled_once BEFORE UPDATE OF activates_at, cancelled_at ON lots
WHEN OLD.activates_at IS NOT NULL OR OLD.cancelled_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'lots: one that was activated or cancelled stays so'); END;

CREATE TABLE new_postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN
        ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust', 'transfer', 'refund',
         'activate', 'cancel')),
    points       BIGINT NOT NULL,
    source_type  TEXT,
    source_ref   TEXT,
    rule         TEXT,
    reason_code  TEXT,
    reason       TEXT NOT NULL,
    reverses     TEXT,
    counterparty TEXT,
    occurred_at  BIGINT NOT NULL,
    posted_at    BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id),
    UNIQUE (program_id, source_type, source_ref, rule),
    UNIQUE (customer_id, revision),
    CHECK ((kind = 'adjust') = (reason_code IS NOT NULL)),
    CHECK ((kind = 'transfer') = (counterparty IS NOT NULL) AND counterparty <> customer_id)
);
INSERT INTO new_postings
    (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason_code, reason, reverses, counterparty, occurred_at, posted_at)
SELECT
    customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason_code, reason, reverses, counterparty, occurred_at, posted_at
FROM postings;
DROP TABLE postings;
ALTER TABLE new_postings RENAME TO postings;
CREATE INDEX postings_by_reversed ON postings (customer_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX postings_by_time ON postings (customer_id, program_id, posted_at);
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
