-- SQLite cannot change a CHECK: the table is written anew.
CREATE TABLE new_postings (
    customer_id  TEXT NOT NULL,
    posting_id   TEXT NOT NULL,
    program_id   TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN
        ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust')),
    points       BIGINT NOT NULL,
    source_type  TEXT,
    source_ref   TEXT,
    rule         TEXT,
    reason_code  TEXT,
    reason       TEXT NOT NULL,
    reverses     TEXT,
    occurred_at  BIGINT NOT NULL,
    posted_at    BIGINT NOT NULL,
    PRIMARY KEY (customer_id, posting_id),
    UNIQUE (program_id, source_type, source_ref, rule),
    UNIQUE (customer_id, revision),
    CHECK ((kind = 'adjust') = (reason_code IS NOT NULL))
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
