-- What is due is found by when it is due.
CREATE INDEX lots_due ON lots (expires_at, customer_id, lot_id) WHERE remaining > 0;
CREATE INDEX holds_due ON holds (expires_at, customer_id, hold_id) WHERE state = 'authorized';

-- How many days ahead members of a program are told that points expire.
CREATE TABLE expiry_notice_days (
    program_id TEXT COLLATE "C" NOT NULL REFERENCES programs,
    days       BIGINT NOT NULL CHECK (days BETWEEN 1 AND 365),
    PRIMARY KEY (program_id, days)
);
INSERT INTO expiry_notice_days (program_id, days) VALUES ('default', 7), ('default', 30);

-- Append-only. Each notice is told once for a lot and the instant at which it expires.
CREATE TABLE expiry_notices (
    customer_id TEXT COLLATE "C" NOT NULL,
    lot_id      TEXT COLLATE "C" NOT NULL,
    expires_at  BIGINT NOT NULL,
    days        BIGINT NOT NULL CHECK (days > 0),
    program_id  TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    points      BIGINT NOT NULL CHECK (points > 0),
    told_at     BIGINT NOT NULL,
    PRIMARY KEY (customer_id, lot_id, expires_at, days),
    UNIQUE (customer_id, revision),
    CHECK (told_at < expires_at)
);
CREATE TRIGGER expiry_notices_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON expiry_notices
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
