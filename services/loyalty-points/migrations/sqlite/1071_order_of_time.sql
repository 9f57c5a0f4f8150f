-- Ids are in the order of time. Keys that begin with them take new rows at their end; the same keys beginning with the
-- customer take each row on another page, and what a batch of postings costs is the pages that it changes. A customer's
-- lines are found through the postings, those in the order of their revisions.

CREATE TABLE new_postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN
        ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust', 'transfer', 'refund',
         'activate', 'cancel', 'merge', 'unmerge')),
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
    actor        TEXT CHECK (actor <> ''),
    approver     TEXT CHECK (approver <> '')
        CHECK (approver IS NULL OR (kind = 'adjust' AND actor IS NOT NULL AND approver <> actor)),
    decision     TEXT,
    currency     TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (posting_id, customer_id),
    UNIQUE (program_id, source_type, source_ref, rule),
    UNIQUE (customer_id, revision),
    CHECK ((kind = 'adjust') = (reason_code IS NOT NULL)),
    CHECK ((kind IN ('transfer', 'merge', 'unmerge')) = (counterparty IS NOT NULL) AND counterparty <> customer_id)
);
INSERT INTO new_postings
    (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason_code, reason, reverses, counterparty, occurred_at, posted_at, actor, approver, decision,
     currency)
SELECT
    customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule,
     reason_code, reason, reverses, counterparty, occurred_at, posted_at, actor, approver, decision,
     currency
FROM postings
ORDER BY posting_id;
DROP TABLE postings;
ALTER TABLE new_postings RENAME TO postings;
CREATE INDEX postings_by_reversed ON postings (customer_id, reverses) WHERE reverses IS NOT NULL;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_approved BEFORE INSERT ON postings
WHEN NEW.kind = 'adjust' AND NEW.approver IS NULL AND EXISTS (
    SELECT 1 FROM programs
    WHERE program_id = NEW.program_id
        AND adjustment_approval_limit > 0
        AND abs(NEW.points) > adjustment_approval_limit)
BEGIN SELECT RAISE(ABORT, 'postings: the adjustment needs an approver'); END;

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
    PRIMARY KEY (posting_id, customer_id, line),
    CHECK ((account IN ('member', 'held')) = (lot_id IS NOT NULL)),
    CHECK ((account = 'held') = (hold_id IS NOT NULL))
) WITHOUT ROWID;
INSERT INTO new_entries
    (customer_id, posting_id, line, program_id, account, lot_id, hold_id, points, effective_at)
SELECT
    customer_id, posting_id, line, program_id, account, lot_id, hold_id, points, effective_at
FROM entries
ORDER BY posting_id, customer_id, line;
DROP TABLE entries;
ALTER TABLE new_entries RENAME TO entries;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;

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
    currency     TEXT NOT NULL DEFAULT '' CHECK (currency = '' OR qualifying = 0),
    PRIMARY KEY (lot_id, customer_id),
    CHECK (original = remaining + held + consumed + expired + reversed),
    CHECK (expires_at IS NULL OR expires_at > activates_at),
    CHECK (activates_at IS NOT NULL OR held = 0),
    CHECK (cancelled_at IS NULL OR (activates_at IS NULL AND remaining = 0 AND qualifying = 0))
);
INSERT INTO new_lots
    (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at, cancelled_at, currency)
SELECT
    customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired,
     reversed, qualifying, earned_at, activates_at, expires_at, cancelled_at, currency
FROM lots
ORDER BY lot_id;
DROP TABLE lots;
ALTER TABLE new_lots RENAME TO lots;
-- What counts for a tier is added up from this alone.
CREATE INDEX lots_by_member ON lots (customer_id, program_id, earned_at, qualifying);
CREATE INDEX lots_due ON lots (expires_at, customer_id, lot_id) WHERE remaining > 0;
CREATE TRIGGER lots_settled_once BEFORE UPDATE OF activates_at, cancelled_at ON lots
WHEN OLD.activates_at IS NOT NULL OR OLD.cancelled_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'lots: one that was activated or cancelled stays so'); END;
CREATE TRIGGER lots_keep_currency BEFORE UPDATE OF currency ON lots
BEGIN SELECT RAISE(ABORT, 'lots is append-only'); END;

CREATE TABLE new_seals (
    sequence    INTEGER PRIMARY KEY CHECK (sequence > 0),
    block       BIGINT NOT NULL REFERENCES seal_blocks (block),
    customer_id TEXT NOT NULL,
    posting_id  TEXT NOT NULL,
    leaf        BLOB NOT NULL,
    UNIQUE (posting_id, customer_id)
);
INSERT INTO new_seals (sequence, block, customer_id, posting_id, leaf)
SELECT sequence, block, customer_id, posting_id, leaf
FROM seals
ORDER BY sequence;
DROP TABLE seals;
ALTER TABLE new_seals RENAME TO seals;
CREATE TRIGGER seals_no_update BEFORE UPDATE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
CREATE TRIGGER seals_no_delete BEFORE DELETE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
