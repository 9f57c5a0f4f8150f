-- SQLite cannot change a CHECK: tables whose checks change are written anew.

-- Points that are held are in a lot, but neither left nor spent.
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
    activates_at BIGINT NOT NULL,
    expires_at   BIGINT,
    PRIMARY KEY (customer_id, lot_id),
    CHECK (original = remaining + held + consumed + expired + reversed),
    CHECK (expires_at IS NULL OR expires_at > activates_at)
);
INSERT INTO new_lots
    (customer_id, lot_id, program_id, posting_id, original, remaining, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at)
SELECT
    customer_id, lot_id, program_id, posting_id, original, remaining, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at
FROM lots;
DROP TABLE lots;
ALTER TABLE new_lots RENAME TO lots;
CREATE INDEX lots_by_member ON lots (customer_id, program_id, earned_at);

ALTER TABLE members ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0);

CREATE TABLE new_postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN
        ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release')),
    points       BIGINT NOT NULL,
    source_type  TEXT,
    source_ref   TEXT,
    rule         TEXT,
    reason       TEXT NOT NULL,
    reverses     TEXT,
    occurred_at  BIGINT NOT NULL,
    posted_at    BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id),
    UNIQUE (program_id, source_type, source_ref, rule),
    UNIQUE (customer_id, revision)
);
INSERT INTO new_postings
    (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason, reverses, occurred_at, posted_at)
SELECT
    customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason, reverses, occurred_at, posted_at
FROM postings;
DROP TABLE postings;
ALTER TABLE new_postings RENAME TO postings;
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
        ('member', 'held', 'debt', 'issuance', 'redeemed', 'expired')),
    lot_id       TEXT,
    hold_id      TEXT,
    points       BIGINT NOT NULL CHECK (points <> 0),
    effective_at BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id, line),
    CHECK ((account IN ('member', 'held')) = (lot_id IS NOT NULL)),
    CHECK ((account = 'held') = (hold_id IS NOT NULL))
);
INSERT INTO new_entries
    (customer_id, posting_id, line, program_id, account, lot_id, points, effective_at)
SELECT
    customer_id, posting_id, line, program_id, account, lot_id, points, effective_at
FROM entries;
DROP TABLE entries;
ALTER TABLE new_entries RENAME TO entries;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;

-- A hold that has timed out stays 'authorized' here until the member's ledger is posted to next: readers
-- go by expires_at. revision is the one of the posting that made it.
CREATE TABLE holds (
    customer_id TEXT NOT NULL,
    hold_id     TEXT NOT NULL,
    program_id  TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('authorized', 'captured', 'voided', 'expired')),
    points      BIGINT NOT NULL CHECK (points > 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    captured    BIGINT NOT NULL CHECK (captured >= 0),
    released    BIGINT NOT NULL CHECK (released >= 0),
    reason      TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    closed_at   BIGINT,
    PRIMARY KEY (customer_id, hold_id),
    UNIQUE (customer_id, revision),
    CHECK (points = held + captured + released),
    CHECK (expires_at > created_at),
    CHECK ((state = 'authorized') = (held > 0)),
    CHECK ((state = 'authorized') = (closed_at IS NULL))
);
CREATE INDEX holds_open ON holds (customer_id, program_id) WHERE state = 'authorized';

-- The lots that a hold pins.
CREATE TABLE hold_lots (
    customer_id TEXT NOT NULL,
    hold_id     TEXT NOT NULL,
    lot_id      TEXT NOT NULL,
    points      BIGINT NOT NULL CHECK (points > 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    captured    BIGINT NOT NULL CHECK (captured >= 0),
    released    BIGINT NOT NULL CHECK (released >= 0),
    PRIMARY KEY (customer_id, hold_id, lot_id),
    CHECK (points = held + captured + released)
);

CREATE TRIGGER holds_closed_once BEFORE UPDATE ON holds WHEN OLD.state <> 'authorized'
BEGIN SELECT RAISE(ABORT, 'holds: a closed one is append-only'); END;
CREATE TRIGGER holds_no_delete BEFORE DELETE ON holds
BEGIN SELECT RAISE(ABORT, 'holds is append-only'); END;
CREATE TRIGGER holds_no_rewriting BEFORE UPDATE OF points, created_at, expires_at ON holds
BEGIN SELECT RAISE(ABORT, 'holds is append-only'); END;
CREATE TRIGGER hold_lots_no_delete BEFORE DELETE ON hold_lots
BEGIN SELECT RAISE(ABORT, 'hold_lots is append-only'); END;
CREATE TRIGGER hold_lots_no_rewriting BEFORE UPDATE OF points ON hold_lots
BEGIN SELECT RAISE(ABORT, 'hold_lots is append-only'); END;
