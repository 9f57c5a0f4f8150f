-- SQLite cannot change a CHECK: the tables are written anew.
CREATE TABLE new_postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN
        ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust', 'transfer', 'refund')),
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
     reason_code, reason, reverses, occurred_at, posted_at)
SELECT
    customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason_code, reason, reverses, occurred_at, posted_at
FROM postings;
DROP TABLE postings;
ALTER TABLE new_postings RENAME TO postings;
CREATE INDEX postings_by_reversed ON postings (customer_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX postings_by_time ON postings (customer_id, program_id, posted_at);
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;

CREATE TABLE new_entries (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    line         BIGINT NOT NULL,
    program_id   TEXT NOT NULL,
    account      TEXT NOT NULL CHECK (account IN
        ('member', 'held', 'debt', 'issuance', 'redeemed', 'expired', 'clearing')),
    lot_id       TEXT,
    hold_id      TEXT,
    points       BIGINT NOT NULL CHECK (points <> 0),
    effective_at BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id, line),
    CHECK ((account IN ('member', 'held')) = (lot_id IS NOT NULL)),
    CHECK ((account = 'held') = (hold_id IS NOT NULL))
);
INSERT INTO new_entries
    (customer_id, posting_id, line, program_id, account, lot_id, hold_id, points, effective_at)
SELECT
    customer_id, posting_id, line, program_id, account, lot_id, hold_id, points, effective_at
FROM entries;
DROP TABLE entries;
ALTER TABLE new_entries RENAME TO entries;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
