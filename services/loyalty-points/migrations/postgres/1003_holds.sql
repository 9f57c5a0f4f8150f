-- Points that are held are in a lot, but neither left nor spent.
ALTER TABLE lots ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0);
ALTER TABLE lots DROP CONSTRAINT lots_check1;
ALTER TABLE lots ADD CONSTRAINT lots_add_up
    CHECK (original = remaining + held + consumed + expired + reversed);

ALTER TABLE members ADD COLUMN held BIGINT NOT NULL DEFAULT 0 CHECK (held >= 0);

ALTER TABLE postings DROP CONSTRAINT postings_kind_check;
ALTER TABLE postings ADD CONSTRAINT postings_kind_check
    CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release'));

ALTER TABLE entries ADD COLUMN hold_id TEXT;
ALTER TABLE entries DROP CONSTRAINT entries_account_check;
ALTER TABLE entries ADD CONSTRAINT entries_account_check
    CHECK (account IN ('member', 'held', 'debt', 'issuance', 'redeemed', 'expired'));
ALTER TABLE entries DROP CONSTRAINT entries_check;
ALTER TABLE entries ADD CONSTRAINT entries_lot_check
    CHECK ((account IN ('member', 'held')) = (lot_id IS NOT NULL));
ALTER TABLE entries ADD CONSTRAINT entries_hold_check
    CHECK ((account = 'held') = (hold_id IS NOT NULL));

-- A hold that has timed out stays 'authorized' here until the member's ledger is posted to next: readers
-- go by expires_at. revision is the one of the posting that made it.
CREATE TABLE holds (
    customer_id TEXT COLLATE "C" NOT NULL,
    hold_id     TEXT COLLATE "C" NOT NULL,
    program_id  TEXT COLLATE "C" NOT NULL,
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
    customer_id TEXT COLLATE "C" NOT NULL,
    hold_id     TEXT COLLATE "C" NOT NULL,
    lot_id      TEXT COLLATE "C" NOT NULL,
    points      BIGINT NOT NULL CHECK (points > 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    captured    BIGINT NOT NULL CHECK (captured >= 0),
    released    BIGINT NOT NULL CHECK (released >= 0),
    PRIMARY KEY (customer_id, hold_id, lot_id),
    CHECK (points = held + captured + released)
);

CREATE FUNCTION refuse_reopening() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'holds: a closed one is append-only';
END $$;
CREATE TRIGGER holds_closed_once BEFORE UPDATE ON holds
    FOR EACH ROW WHEN (OLD.state <> 'authorized') EXECUTE FUNCTION refuse_reopening();
CREATE TRIGGER holds_no_delete BEFORE DELETE OR TRUNCATE ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER holds_no_rewriting BEFORE UPDATE OF points, created_at, expires_at ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER hold_lots_no_delete BEFORE DELETE OR TRUNCATE ON hold_lots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER hold_lots_no_rewriting BEFORE UPDATE OF points ON hold_lots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
