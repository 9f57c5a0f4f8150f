-- Members who are the same person. merged_into is who took the member in, survivor who stands for it at the end of
-- the chain; absent while it stands for itself.
ALTER TABLE members ADD COLUMN merged_into TEXT COLLATE "C" CHECK (merged_into <> customer_id);
ALTER TABLE members ADD COLUMN survivor TEXT COLLATE "C" CHECK (survivor <> customer_id);
ALTER TABLE members ADD CONSTRAINT members_survivor_check
    CHECK ((merged_into IS NULL) = (survivor IS NULL));
CREATE INDEX members_by_survivor ON members (program_id, survivor) WHERE survivor IS NOT NULL;

-- Who stands for others is a member who stands for itself: no cycles.
CREATE FUNCTION check_survivor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM members
        WHERE program_id = NEW.program_id AND customer_id = NEW.survivor AND survivor IS NULL
    ) THEN
        RAISE EXCEPTION 'members: the survivor is no member who stands for itself';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER members_survivor_stands BEFORE UPDATE OF merged_into, survivor ON members
    FOR EACH ROW WHEN (NEW.survivor IS NOT NULL) EXECUTE FUNCTION check_survivor();

ALTER TABLE postings DROP CONSTRAINT postings_kind_check;
ALTER TABLE postings ADD CONSTRAINT postings_kind_check
    CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust',
        'transfer', 'refund', 'activate', 'cancel', 'merge', 'unmerge'));
ALTER TABLE postings DROP CONSTRAINT postings_counterparty_check;
ALTER TABLE postings ADD CONSTRAINT postings_counterparty_check
    CHECK ((kind IN ('transfer', 'merge', 'unmerge')) = (counterparty IS NOT NULL) AND counterparty <> customer_id);

-- Merges, those that were undone included: one id has one effect for ever. A merge that was undone before it was
-- heard of has both instants and no effect.
CREATE TABLE merges (
    program_id     TEXT COLLATE "C" NOT NULL REFERENCES programs,
    merge_id       TEXT COLLATE "C" NOT NULL,
    survivor       TEXT COLLATE "C" NOT NULL,
    absorbed       TEXT COLLATE "C" NOT NULL,
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
CREATE FUNCTION refuse_merge_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'merges: one changes once, when it is undone, and is kept';
END $$;
CREATE TRIGGER merges_undone_once BEFORE UPDATE ON merges
    FOR EACH ROW WHEN (OLD.unmerged_at IS NOT NULL
        OR NEW.unmerged_at IS NULL
        OR (NEW.program_id, NEW.merge_id, NEW.survivor, NEW.absorbed, NEW.actor, NEW.reason, NEW.merged_at)
            IS DISTINCT FROM
            (OLD.program_id, OLD.merge_id, OLD.survivor, OLD.absorbed, OLD.actor, OLD.reason, OLD.merged_at))
    EXECUTE FUNCTION refuse_merge_change();
CREATE TRIGGER merges_no_delete BEFORE DELETE OR TRUNCATE ON merges
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_merge_change();

-- What merges moved, in order, so that it can be given back. lot: points of a lot that went on into another one;
-- repaid: points of a lot of who took in that repaid debt in the same posting; debt: debt that went along, negative
-- where it was given back. currency '' stands for the program's first one.
CREATE TABLE merge_parts (
    program_id     TEXT COLLATE "C" NOT NULL,
    merge_id       TEXT COLLATE "C" NOT NULL,
    part           BIGINT NOT NULL CHECK (part >= 1),
    currency       TEXT COLLATE "C" NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('lot', 'repaid', 'debt')),
    customer_id    TEXT COLLATE "C" NOT NULL,
    lot_id         TEXT COLLATE "C",
    to_customer_id TEXT COLLATE "C",
    to_lot_id      TEXT COLLATE "C",
    points         BIGINT NOT NULL CHECK (points <> 0),
    PRIMARY KEY (program_id, merge_id, part),
    FOREIGN KEY (program_id, merge_id) REFERENCES merges,
    CHECK ((kind = 'debt') = (lot_id IS NULL)),
    CHECK ((kind = 'lot') = (to_customer_id IS NOT NULL)),
    CHECK ((kind = 'lot') = (to_lot_id IS NOT NULL)),
    CHECK (kind = 'debt' OR points > 0)
);
CREATE INDEX merge_parts_by_lot ON merge_parts (customer_id, lot_id) WHERE kind = 'lot';
CREATE TRIGGER merge_parts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON merge_parts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
