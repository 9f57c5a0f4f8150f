-- The point currencies of a program beside its first one, which programs.points_currency and programs.validity_days
-- tell of. Wherever a currency is stored otherwise, '' stands for the first one.
CREATE TABLE currencies (
    program_id    TEXT NOT NULL REFERENCES programs (program_id),
    currency      TEXT NOT NULL CHECK (currency <> ''),
    place         BIGINT NOT NULL CHECK (place >= 1),
    display_name  TEXT NOT NULL,
    validity_days BIGINT NOT NULL CHECK (validity_days >= 0),
    PRIMARY KEY (program_id, currency),
    UNIQUE (program_id, place)
);
CREATE TRIGGER currencies_no_update BEFORE UPDATE ON currencies
BEGIN SELECT RAISE(ABORT, 'currencies is append-only'); END;
CREATE TRIGGER currencies_no_delete BEFORE DELETE ON currencies
BEGIN SELECT RAISE(ABORT, 'currencies is append-only'); END;

-- SQLite cannot drop a column that a CHECK of the table names: members is written anew, without what accounts tell.
ALTER TABLE members RENAME TO old_members;
CREATE TABLE members (
    customer_id      TEXT NOT NULL REFERENCES customers (customer_id),
    program_id       TEXT NOT NULL REFERENCES programs (program_id),
    state            TEXT NOT NULL CHECK (state IN ('active', 'closed')),
    enrolled_at      BIGINT NOT NULL,
    tier             TEXT NOT NULL,
    tier_points      BIGINT NOT NULL CHECK (tier_points >= 0),
    tier_since       BIGINT NOT NULL,
    tier_valid_until BIGINT,
    tier_policy      BIGINT NOT NULL DEFAULT 1 CHECK (tier_policy >= 1),
    earned_tier      TEXT,
    PRIMARY KEY (customer_id, program_id)
);
INSERT INTO members
    (customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since, tier_valid_until, tier_policy,
     earned_tier)
SELECT customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since, tier_valid_until, tier_policy,
       earned_tier
FROM old_members;

-- What members hold and owe: an account for each currency of the program, opened at enrolment. points: left in lots,
-- expired ones included until they are written off.
CREATE TABLE accounts (
    customer_id TEXT NOT NULL,
    program_id  TEXT NOT NULL,
    currency    TEXT NOT NULL,
    points      BIGINT NOT NULL CHECK (points >= 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    debt        BIGINT NOT NULL CHECK (debt >= 0),
    PRIMARY KEY (customer_id, program_id, currency),
    FOREIGN KEY (customer_id, program_id) REFERENCES members (customer_id, program_id),
    CHECK (points = 0 OR debt = 0)
);
INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
SELECT customer_id, program_id, '', points, held, debt
FROM old_members;
DROP TABLE old_members;
CREATE INDEX members_by_program ON members (program_id, customer_id);

CREATE TRIGGER accounts_of_a_currency BEFORE INSERT ON accounts
WHEN NEW.currency <> '' AND NOT EXISTS (
    SELECT 1 FROM currencies WHERE program_id = NEW.program_id AND currency = NEW.currency)
BEGIN SELECT RAISE(ABORT, 'accounts: the program has no such currency'); END;
CREATE TRIGGER accounts_no_moving BEFORE UPDATE OF customer_id, program_id, currency ON accounts
BEGIN SELECT RAISE(ABORT, 'accounts is append-only'); END;
CREATE TRIGGER accounts_no_delete BEFORE DELETE ON accounts
BEGIN SELECT RAISE(ABORT, 'accounts is append-only'); END;

ALTER TABLE postings ADD COLUMN currency TEXT NOT NULL DEFAULT '';
-- Only points of the first currency count for tiers.
ALTER TABLE lots ADD COLUMN currency TEXT NOT NULL DEFAULT ''
    CHECK (currency = '' OR qualifying = 0);
ALTER TABLE holds ADD COLUMN currency TEXT NOT NULL DEFAULT '';

-- What was posted in a currency stays in it.
CREATE TRIGGER lots_keep_currency BEFORE UPDATE OF currency ON lots
BEGIN SELECT RAISE(ABORT, 'lots is append-only'); END;
CREATE TRIGGER holds_keep_currency BEFORE UPDATE OF currency ON holds
BEGIN SELECT RAISE(ABORT, 'holds is append-only'); END;
