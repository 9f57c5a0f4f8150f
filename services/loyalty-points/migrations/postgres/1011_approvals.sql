-- Adjustments of more points than this need a second person; 0: none do.
ALTER TABLE programs ADD COLUMN adjustment_approval_limit BIGINT NOT NULL DEFAULT 0
    CHECK (adjustment_approval_limit >= 0);

-- Who adjusted, and who else approved of it.
ALTER TABLE postings ADD COLUMN actor TEXT CHECK (actor <> '');
ALTER TABLE postings ADD COLUMN approver TEXT CHECK (approver <> '');
ALTER TABLE postings ADD CONSTRAINT postings_approved_by_another
    CHECK (approver IS NULL OR (kind = 'adjust' AND actor IS NOT NULL AND approver <> actor));

CREATE FUNCTION refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM programs
        WHERE program_id = NEW.program_id
            AND adjustment_approval_limit > 0
            AND abs(NEW.points) > adjustment_approval_limit)
    THEN
        RAISE EXCEPTION 'postings: the adjustment needs an approver';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER postings_approved BEFORE INSERT ON postings
    FOR EACH ROW WHEN (NEW.kind = 'adjust' AND NEW.approver IS NULL)
    EXECUTE FUNCTION refuse_unapproved();
