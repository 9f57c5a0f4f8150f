-- Programs never change once created.
CREATE TABLE programs (
    program_id         TEXT PRIMARY KEY,
    display_name       TEXT NOT NULL,
    points_currency    TEXT NOT NULL,
    money_currency     TEXT NOT NULL,
    unit_micros        BIGINT NOT NULL CHECK (unit_micros > 0),
    points_per_unit    BIGINT NOT NULL CHECK (points_per_unit > 0),
    validity_days      BIGINT NOT NULL CHECK (validity_days >= 0),
    tier_window_micros BIGINT NOT NULL CHECK (tier_window_micros > 0),
    created_at         BIGINT NOT NULL
);

CREATE TABLE tiers (
    program_id TEXT NOT NULL REFERENCES programs (program_id),
    rank       BIGINT NOT NULL,
    name       TEXT NOT NULL,
    threshold  BIGINT NOT NULL CHECK (threshold >= 0),
    PRIMARY KEY (program_id, rank),
    UNIQUE (program_id, name)
);

-- Every change of a customer's points locks this row first; its revision orders them.
CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY,
    revision    BIGINT NOT NULL CHECK (revision >= 0),
    deleted_at  BIGINT
);

-- points: left in lots, expired ones included until they are written off.
CREATE TABLE members (
    customer_id      TEXT NOT NULL REFERENCES customers (customer_id),
    program_id       TEXT NOT NULL REFERENCES programs (program_id),
    state            TEXT NOT NULL CHECK (state IN ('active', 'closed')),
    enrolled_at      BIGINT NOT NULL,
    points           BIGINT NOT NULL CHECK (points >= 0),
    debt             BIGINT NOT NULL CHECK (debt >= 0),
    tier             TEXT NOT NULL,
    tier_points      BIGINT NOT NULL CHECK (tier_points >= 0),
    tier_since       BIGINT NOT NULL,
    tier_valid_until BIGINT,
    PRIMARY KEY (customer_id, program_id),
    CHECK (points = 0 OR debt = 0)
);
CREATE INDEX members_by_program ON members (program_id, customer_id);

-- Append-only. The same source earns once for ever by one rule.
CREATE TABLE postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire')),
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

-- Append-only. The lines of a posting add up to zero.
CREATE TABLE entries (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    line         BIGINT NOT NULL,
    program_id   TEXT NOT NULL,
    account      TEXT NOT NULL CHECK (account IN ('member', 'debt', 'issuance', 'redeemed', 'expired')),
    lot_id       TEXT,
    points       BIGINT NOT NULL CHECK (points <> 0),
    effective_at BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id, line),
    CHECK ((account = 'member') = (lot_id IS NOT NULL))
);

CREATE TABLE lots (
    customer_id  TEXT NOT NULL,
    lot_id       TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    original     BIGINT NOT NULL CHECK (original > 0),
    remaining    BIGINT NOT NULL CHECK (remaining >= 0),
    consumed     BIGINT NOT NULL CHECK (consumed >= 0),
    expired      BIGINT NOT NULL CHECK (expired >= 0),
    reversed     BIGINT NOT NULL CHECK (reversed >= 0),
    qualifying   BIGINT NOT NULL CHECK (qualifying BETWEEN 0 AND original),
    earned_at    BIGINT NOT NULL,
    activates_at BIGINT NOT NULL,
    expires_at   BIGINT,
    PRIMARY KEY (customer_id, lot_id),
    CHECK (original = remaining + consumed + expired + reversed),
    CHECK (expires_at IS NULL OR expires_at > activates_at)
);
CREATE INDEX lots_by_member ON lots (customer_id, program_id, earned_at);

-- Append-only.
CREATE TABLE tier_changes (
    customer_id TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    program_id  TEXT NOT NULL,
    from_tier   TEXT NOT NULL,
    to_tier     TEXT NOT NULL,
    reason      TEXT NOT NULL CHECK (reason IN ('enrolled', 'earned', 'reversed', 'aged_out')),
    points      BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    PRIMARY KEY (customer_id, revision)
);

CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
CREATE TRIGGER tier_changes_no_update BEFORE UPDATE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;
CREATE TRIGGER tier_changes_no_delete BEFORE DELETE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;

INSERT INTO programs
    (program_id, display_name, points_currency, money_currency, unit_micros, points_per_unit,
     validity_days, tier_window_micros, created_at)
VALUES ('default', 'Default program', 'PTS', 'USD', 1000000, 1, 730, 31536000000000, 0);
INSERT INTO tiers (program_id, rank, name, threshold)
VALUES ('default', 1, 'Bronze', 0), ('default', 2, 'Silver', 100), ('default', 3, 'Gold', 250);
