-- A tier given by hand. One that has run out stays open here until the member's tier is decided next: readers
-- go by expires_at. revision is the one of the tier change that it made.
CREATE TABLE tier_overrides (
    customer_id TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL,
    program_id  TEXT COLLATE "C" NOT NULL,
    tier        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    reason      TEXT NOT NULL CHECK (reason <> ''),
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT,
    ended_at    BIGINT,
    PRIMARY KEY (customer_id, revision),
    CHECK (expires_at IS NULL OR expires_at > created_at),
    CHECK (ended_at IS NULL OR ended_at >= created_at),
    CHECK (ended_at IS NULL OR expires_at IS NULL OR ended_at <= expires_at)
);
CREATE UNIQUE INDEX tier_overrides_open ON tier_overrides (customer_id, program_id)
    WHERE ended_at IS NULL;
CREATE INDEX tier_overrides_by_member ON tier_overrides (customer_id, program_id, created_at);

CREATE FUNCTION refuse_second_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'tier_overrides: an ended one is append-only';
END $$;
CREATE TRIGGER tier_overrides_ended_once BEFORE UPDATE ON tier_overrides
    FOR EACH ROW WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_second_end();
CREATE TRIGGER tier_overrides_no_delete BEFORE DELETE OR TRUNCATE ON tier_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tier_overrides_no_rewriting
    BEFORE UPDATE OF customer_id, revision, program_id, tier, actor, reason, created_at, expires_at
    ON tier_overrides
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Changes by hand say who made them and why.
ALTER TABLE tier_changes DROP CONSTRAINT tier_changes_reason_check;
ALTER TABLE tier_changes ADD CONSTRAINT tier_changes_reason_check
    CHECK (reason IN ('enrolled', 'earned', 'reversed', 'aged_out', 'overridden', 'override_ended'));
ALTER TABLE tier_changes ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE tier_changes ADD COLUMN remark TEXT NOT NULL DEFAULT '';
ALTER TABLE tier_changes ADD CONSTRAINT tier_changes_overridden_check
    CHECK (reason <> 'overridden' OR (actor <> '' AND remark <> ''));
