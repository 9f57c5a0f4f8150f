-- Who stands for this customer, when it was found to be another one. A survivor cannot be deleted.
ALTER TABLE customer ADD COLUMN merged_into TEXT REFERENCES customer CHECK (merged_into <> customer_id);
CREATE INDEX customer_merged_into ON customer (merged_into) WHERE merged_into IS NOT NULL;

-- Nobody is absorbed twice, and a survivor stands for itself: no cycles.
CREATE TRIGGER customer_merged_once BEFORE UPDATE OF merged_into ON customer
WHEN NEW.merged_into IS NOT NULL AND (
    (OLD.merged_into IS NOT NULL AND OLD.merged_into <> NEW.merged_into)
    OR EXISTS (SELECT 1 FROM customer WHERE customer_id = NEW.merged_into AND merged_into IS NOT NULL))
BEGIN SELECT RAISE(ABORT, 'a merge takes two customers who stand for themselves'); END;

-- Merges, those that were undone included.
CREATE TABLE merges (
    merge_id        TEXT   PRIMARY KEY,
    survivor        TEXT   NOT NULL,
    absorbed        TEXT   NOT NULL,
    actor           TEXT   NOT NULL,
    reason          TEXT   NOT NULL CHECK (reason <> ''),
    merged_at       BIGINT NOT NULL,
    unmerged_at     BIGINT,
    unmerge_actor   TEXT,
    unmerge_reason  TEXT CHECK (unmerge_reason <> ''),
    CHECK (survivor <> absorbed),
    CHECK (unmerged_at >= merged_at),
    CHECK ((unmerged_at IS NULL) = (unmerge_actor IS NULL)),
    CHECK ((unmerged_at IS NULL) = (unmerge_reason IS NULL))
) WITHOUT ROWID;
CREATE UNIQUE INDEX merges_standing ON merges (absorbed) WHERE unmerged_at IS NULL;
CREATE INDEX merges_by_time ON merges (merged_at, merge_id);
CREATE INDEX merges_by_survivor ON merges (survivor, merged_at, merge_id);
CREATE INDEX merges_by_absorbed ON merges (absorbed, merged_at, merge_id);
CREATE TRIGGER merges_undone_once BEFORE UPDATE ON merges
WHEN OLD.unmerged_at IS NOT NULL
    OR NEW.unmerged_at IS NULL
    OR (NEW.merge_id, NEW.survivor, NEW.absorbed, NEW.actor, NEW.reason, NEW.merged_at)
        <> (OLD.merge_id, OLD.survivor, OLD.absorbed, OLD.actor, OLD.reason, OLD.merged_at)
BEGIN SELECT RAISE(ABORT, 'a merge changes once, when it is undone'); END;
CREATE TRIGGER merges_no_delete BEFORE DELETE ON merges
BEGIN SELECT RAISE(ABORT, 'merges are kept'); END;
