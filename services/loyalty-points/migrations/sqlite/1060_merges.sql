-- Members who are the same person. merged_into is who took the member in, survivor who stands for it at the end of
-- the chain; absent while it stands for itself.
ALTER TABLE members ADD COLUMN merged_into TEXT CHECK (merged_into <> customer_id);
ALTER TABLE members ADD COLUMN survivor TEXT CHECK (survivor <> customer_id)
    CHECK ((merged_into IS NULL) = (survivor IS NULL));
CREATE INDEX members_by_survivor ON members (program_id, survivor) WHERE survivor IS NOT NULL;

-- Who stands for others is a member who stands for itself: no cycles.
CREATE TRIGGER members_survivor_stands BEFORE UPDATE OF merged_into, survivor ON members
WHEN NEW.survivor IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM members
    WHERE program_id = NEW.program_id AND customer_id = NEW.survivor AND survivor IS NULL)
BEGIN SELECT RAISE(ABORT, 'members: the survivor is no member who stands for itself'); END;

-- SQLite cannot change a CHECK: the table is written anew.
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
    PRIMARY KEY (customer_id, posting_id),
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
FROM postings;
DROP TABLE postings;
ALTER TABLE new_postings RENAME TO postings;
CREATE INDEX postings_by_reversed ON postings (customer_id, reverses) WHERE reverses IS NOT NULL;
CREATE INDEX postings_by_time ON postings (customer_id, program_id, posted_at);
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

-- Merges, those that were undone included: one id has one effect for ever. A merge that was undone before it was
-- heard of has both instants and no effect.
CREATE TABLE merges (
    program_id     TEXT NOT NULL REFERENCES programs (program_id),
    merge_id       TEXT NOT NULL,
    survivor       TEXT NOT NULL,
    absorbed       TEXT NOT NULL,
    actor          TEXT NOT NULL,
    reason         TEXT NOT NULL,
    merged_at      BIGINT NOT NULL,
    unmerged_at    BIGINT,
    unmerge_actor  TEXT,
    unmerge_reason TEXT,
    PRIMARY KEY (program_id, merge_id),
    CHECK (survivor <> absorbed),
    CHECK (unmerged_at >= merged_at),
    CHECK ((unmerged_at IS NULL) = (unmerge_actor IS NULL)),
    CHECK ((unmerged_at IS NULL) = (unmerge_reason IS NULL))
);
CREATE UNIQUE INDEX merges_standing ON merges (program_id, absorbed) WHERE unmerged_at IS NULL;
CREATE TRIGGER merges_undone_once BEFORE UPDATE ON merges
WHEN OLD.unmerged_at IS NOT NULL
    OR NEW.unmerged_at IS NULL
    OR (NEW.program_id, NEW.merge_id, NEW.survivor, NEW.absorbed, NEW.actor, NEW.reason, NEW.merged_at)
        <> (OLD.program_id, OLD.merge_id, OLD.survivor, OLD.absorbed, OLD.actor, OLD.reason, OLD.merged_at)
BEGIN SELECT RAISE(ABORT, 'merges: one changes once, when it is undone'); END;
CREATE TRIGGER merges_no_delete BEFORE DELETE ON merges
BEGIN SELECT RAISE(ABORT, 'merges are kept'); END;

-- What merges moved, in order, so that it can be given back. lot: points of a lot that went on into another one;
-- repaid: points of a lot of who took in that repaid debt in the same posting; debt: debt that went along, negative
-- where it was given back. currency '' stands for the program's first one.
CREATE TABLE merge_parts (
    program_id     TEXT NOT NULL,
    merge_id       TEXT NOT NULL,
    part           BIGINT NOT NULL CHECK (part >= 1),
    currency       TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('lot', 'repaid', 'debt')),
    customer_id    TEXT NOT NULL,
    lot_id         TEXT,
    to_customer_id TEXT,
    to_lot_id      TEXT,
    points         BIGINT NOT NULL CHECK (points <> 0),
    PRIMARY KEY (program_id, merge_id, part),
    FOREIGN KEY (program_id, merge_id) REFERENCES merges (program_id, merge_id),
    CHECK ((kind = 'debt') = (lot_id IS NULL)),
    CHECK ((kind = 'lot') = (to_customer_id IS NOT NULL)),
    CHECK ((kind = 'lot') = (to_lot_id IS NOT NULL)),
    CHECK (kind = 'debt' OR points > 0)
);
CREATE INDEX merge_parts_by_lot ON merge_parts (customer_id, lot_id) WHERE kind = 'lot';
CREATE TRIGGER merge_parts_no_update BEFORE UPDATE ON merge_parts
BEGIN SELECT RAISE(ABORT, 'merge_parts is append-only'); END;
CREATE TRIGGER merge_parts_no_delete BEFORE DELETE ON merge_parts
BEGIN SELECT RAISE(ABORT, 'merge_parts is append-only'); END;
