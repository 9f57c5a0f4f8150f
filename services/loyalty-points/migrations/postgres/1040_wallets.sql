-- The point currencies of a program beside its first one, which programs.points_currency and programs.validity_days
-- tell of. Wherever a currency is stored otherwise, '' stands for the first one.
CREATE TABLE currencies (
    program_id    TEXT COLLATE "C" NOT NULL REFERENCES programs (program_id),
    currency      TEXT COLLATE "C" NOT NULL CHECK (currency <> ''),
    place         BIGINT NOT NULL CHECK (place >= 1),
    display_name  TEXT NOT NULL,
    validity_days BIGINT NOT NULL CHECK (validity_days >= 0),
    PRIMARY KEY (program_id, currency),
    UNIQUE (program_id, place)
);
CREATE TRIGGER currencies_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON currencies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What members hold and owe: an account for each currency of the program, opened at enrolment. points: left in lots,
-- expired ones included until they are written off.
CREATE TABLE accounts (
    customer_id TEXT COLLATE "C" NOT NULL,
    program_id  TEXT COLLATE "C" NOT NULL,
    currency    TEXT COLLATE "C" NOT NULL,
    points      BIGINT NOT NULL CHECK (points >= 0),
    held        BIGINT NOT NULL CHECK (held >= 0),
    debt        BIGINT NOT NULL CHECK (debt >= 0),
    PRIMARY KEY (customer_id, program_id, currency),
    FOREIGN KEY (customer_id, program_id) REFERENCES members (customer_id, program_id),
    CHECK (points = 0 OR debt = 0)
);
INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
SELECT customer_id, program_id, '', points, held, debt
FROM members;

CREATE FUNCTION refuse_unknown_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM currencies WHERE program_id = NEW.program_id AND currency = NEW.currency
    ) THEN
        RAISE EXCEPTION 'accounts: the program has no such currency';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_of_a_currency BEFORE INSERT ON accounts
    FOR EACH ROW WHEN (NEW.currency <> '') EXECUTE FUNCTION refuse_unknown_currency();
CREATE TRIGGER accounts_no_moving BEFORE UPDATE OF customer_id, program_id, currency ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER accounts_no_delete BEFORE DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE members DROP COLUMN points;
ALTER TABLE members DROP COLUMN held;
ALTER TABLE members DROP COLUMN debt;

ALTER TABLE postings ADD COLUMN currency TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE lots ADD COLUMN currency TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE holds ADD COLUMN currency TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Only points of the first currency count for tiers.
ALTER TABLE lots ADD CONSTRAINT lots_qualifying_check CHECK (currency = '' OR qualifying = 0);

-- What was posted in a currency stays in it.
CREATE TRIGGER lots_keep_currency BEFORE UPDATE OF currency ON lots
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER holds_keep_currency BEFORE UPDATE OF currency ON holds
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
