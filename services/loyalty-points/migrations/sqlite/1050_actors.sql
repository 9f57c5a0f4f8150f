-- Who authorised a hold, and who extended a lot's expiry. Absent where that was not recorded.
ALTER TABLE holds ADD COLUMN actor TEXT CHECK (actor <> '');
ALTER TABLE expiry_extensions ADD COLUMN actor TEXT CHECK (actor <> '');

CREATE TRIGGER holds_no_new_actor BEFORE UPDATE OF actor ON holds
BEGIN SELECT RAISE(ABORT, 'holds is append-only'); END;
