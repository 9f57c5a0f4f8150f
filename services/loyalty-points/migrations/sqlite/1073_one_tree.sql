-- Whoever is posted to is found and changed by the key alone: a table that is its own key has one tree to go down instead
-- of two. Parents are dropped after their children, so that no row ever lacks its parent.

CREATE TABLE new_customers (
    customer_id TEXT PRIMARY KEY,
    revision    BIGINT NOT NULL CHECK (revision >= 0),
    deleted_at  BIGINT
) WITHOUT ROWID;
INSERT INTO new_customers (customer_id, revision, deleted_at)
SELECT customer_id, revision, deleted_at FROM customers ORDER BY customer_id;

CREATE TABLE new_members (
    customer_id      TEXT NOT NULL REFERENCES new_customers (customer_id),
    program_id       TEXT NOT NULL REFERENCES programs (program_id),
    state            TEXT NOT NULL CHECK (state IN ('active', 'closed')),
    enrolled_at      BIGINT NOT NULL,
    tier             TEXT NOT NULL,
    tier_points      BIGINT NOT NULL CHECK (tier_points >= 0),
    tier_since       BIGINT NOT NULL,
    tier_valid_until BIGINT,
    tier_policy      BIGINT NOT NULL DEFAULT 1 CHECK (tier_policy >= 1),
    earned_tier      TEXT,
    merged_into      TEXT CHECK (merged_into <> customer_id),
    survivor         TEXT CHECK (survivor <> customer_id),
    PRIMARY KEY (customer_id, program_id),
    CHECK ((merged_into IS NULL) = (survivor IS NULL))
) WITHOUT ROWID;
INSERT INTO new_members
    (customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since, tier_valid_until,
     tier_policy, earned_tier, merged_into, survivor)
SELECT
    customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since, tier_valid_until,
     tier_policy, earned_tier, merged_into, survivor
FROM members
ORDER BY customer_id, program_id;

CREATE TABLE new_accounts (
    customer_id TEXT NOT NULL,
    program_id  TEXT NOT NULL,
    currency    TEXT NOT NULL,
    points      BIGINT NOT NULL CHECK (points >= 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    debt        BIGINT NOT NULL CHECK (debt >= 0),
    PRIMARY KEY (customer_id, program_id, currency),
    FOREIGN KEY (customer_id, program_id) REFERENCES new_members (customer_id, program_id),
    CHECK (points = 0 OR debt = 0)
) WITHOUT ROWID;
INSERT INTO new_accounts (customer_id, program_id, currency, points, held, debt)
SELECT customer_id, program_id, currency, points, held, debt
FROM accounts
ORDER BY customer_id, program_id, currency;

DROP TRIGGER accounts_no_delete;
DROP TABLE accounts;
DROP TABLE members;
DROP TABLE customers;
ALTER TABLE new_customers RENAME TO customers;
ALTER TABLE new_members RENAME TO members;
ALTER TABLE new_accounts RENAME TO accounts;

CREATE INDEX members_by_program ON members (program_id, customer_id);
CREATE INDEX members_by_survivor ON members (program_id, survivor) WHERE survivor IS NOT NULL;
CREATE TRIGGER members_survivor_stands BEFORE UPDATE OF merged_into, survivor ON members
WHEN NEW.survivor IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM members
    WHERE program_id = NEW.program_id AND customer_id = NEW.survivor AND survivor IS NULL)
BEGIN SELECT RAISE(ABORT, 'members: the survivor is no member who stands for itself'); END;
CREATE TRIGGER accounts_of_a_currency BEFORE INSERT ON accounts
WHEN NEW.currency <> '' AND NOT EXISTS (
    SELECT 1 FROM currencies WHERE program_id = NEW.program_id AND currency = NEW.currency)
BEGIN SELECT RAISE(ABORT, 'accounts: the program has no such currency'); END;
CREATE TRIGGER accounts_no_moving BEFORE UPDATE OF customer_id, program_id, currency ON accounts
BEGIN SELECT RAISE(ABORT, 'accounts is append-only'); END;
CREATE TRIGGER accounts_no_delete BEFORE DELETE ON accounts
BEGIN SELECT RAISE(ABORT, 'accounts is append-only'); END;
