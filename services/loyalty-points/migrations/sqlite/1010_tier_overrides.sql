-- A tier given by hand. One that has run out stays open here until the member's tier is decided next: readers
-- go by expires_at. revision is the one of the tier change that it made.
CREATE TABLE tier_overrides (
    customer_id TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    program_id  TEXT NOT NULL,
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

CREATE TRIGGER tier_overrides_ended_once BEFORE UPDATE ON tier_overrides WHEN OLD.ended_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'tier_overrides: an ended one is append-only'); END;
CREATE TRIGGER tier_overrides_no_delete BEFORE DELETE ON tier_overrides
BEGIN SELECT RAISE(ABORT, 'tier_overrides is append-only'); END;
CREATE TRIGGER tier_overrides_no_rewriting
    BEFORE UPDATE OF customer_id, revision, program_id, tier, actor, reason, created_at, expires_at
    ON tier_overrides
BEGIN SELECT RAISE(ABORT, 'tier_overrides is append-only'); END;

-- Changes by hand say who made them and why. SQLite cannot change a CHECK: the table is written anew.
CREATE TABLE new_tier_changes (
    customer_id TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    program_id  TEXT NOT NULL,
    from_tier   TEXT NOT NULL,
    to_tier     TEXT NOT NULL,
    reason      TEXT NOT NULL CHECK (reason IN
        ('enrolled', 'earned', 'reversed', 'aged_out', 'overridden', 'override_ended')),
    points      BIGINT NOT NULL,
    changed_at  BIGINT NOT NULL,
    actor       TEXT NOT NULL DEFAULT '',
    remark      TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (customer_id, revision),
    CHECK (reason <> 'overridden' OR (actor <> '' AND remark <> ''))
);
INSERT INTO new_tier_changes
    (customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at)
SELECT customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at
FROM tier_changes;
DROP TABLE tier_changes;
ALTER TABLE new_tier_changes RENAME TO tier_changes;
CREATE TRIGGER tier_changes_no_update BEFORE UPDATE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;
CREATE TRIGGER tier_changes_no_delete BEFORE DELETE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;
