-- Adjustments of more points than this need a second person; 0: none do.
ALTER TABLE programs ADD COLUMN adjustment_approval_limit BIGINT NOT NULL DEFAULT 0
    CHECK (adjustment_approval_limit >= 0);

-- Who adjusted, and who else approved of it.
ALTER TABLE postings ADD COLUMN actor TEXT CHECK (actor <> '');
ALTER TABLE postings ADD COLUMN approver TEXT CHECK (approver <> '')
    CHECK (approver IS NULL OR (kind = 'adjust' AND actor IS NOT NULL AND approver <> actor));

CREATE TRIGGER postings_approved BEFORE INSERT ON postings
WHEN NEW.kind = 'adjust' AND NEW.approver IS NULL AND EXISTS (
    SELECT 1 FROM programs
    WHERE program_id = NEW.program_id
        AND adjustment_approval_limit > 0
        AND abs(NEW.points) > adjustment_approval_limit)
BEGIN SELECT RAISE(ABORT, 'postings: the adjustment needs an approver'); END;
