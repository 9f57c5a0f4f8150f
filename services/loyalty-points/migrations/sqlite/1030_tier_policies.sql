-- Versions of tier policies. Never changed: another rule is another version. The one that holds at an instant is
-- the latest with effective_at not after it; before any, the first. programs.tier_window_micros and tiers are what
-- builds read that know of one policy only.
CREATE TABLE tier_policies (
    program_id         TEXT NOT NULL REFERENCES programs (program_id),
    version            BIGINT NOT NULL CHECK (version >= 1),
    metric             TEXT NOT NULL CHECK (metric IN ('points_earned', 'spend', 'frequency')),
    period             TEXT NOT NULL CHECK (period IN ('rolling', 'calendar_year', 'membership_year')),
    window_micros      BIGINT NOT NULL CHECK (window_micros >= 0),
    utc_offset_minutes BIGINT NOT NULL CHECK (utc_offset_minutes BETWEEN -840 AND 840),
    downgrade          TEXT NOT NULL CHECK (downgrade IN ('immediate', 'to_earned', 'one_down')),
    grace_days         BIGINT NOT NULL CHECK (grace_days BETWEEN 0 AND 364),
    tier_count         BIGINT NOT NULL CHECK (tier_count >= 1),
    effective_at       BIGINT NOT NULL,
    published_at       BIGINT NOT NULL,
    actor              TEXT NOT NULL,
    reason             TEXT NOT NULL,
    PRIMARY KEY (program_id, version),
    CHECK ((period = 'rolling') = (window_micros > 0)),
    CHECK (period <> 'rolling' OR utc_offset_minutes = 0),
    CHECK (downgrade <> 'immediate' OR (period = 'rolling' AND grace_days = 0)),
    CHECK (version = 1 OR (actor <> '' AND reason <> '' AND effective_at >= published_at))
);

-- benefits: a JSON list of codes.
CREATE TABLE policy_tiers (
    program_id TEXT NOT NULL,
    version    BIGINT NOT NULL,
    rank       BIGINT NOT NULL,
    name       TEXT NOT NULL,
    threshold  BIGINT NOT NULL CHECK (threshold >= 0),
    multiplier BIGINT NOT NULL CHECK (multiplier BETWEEN 1 AND 1000000),
    benefits   TEXT NOT NULL,
    PRIMARY KEY (program_id, version, rank),
    UNIQUE (program_id, version, name),
    UNIQUE (program_id, version, threshold),
    FOREIGN KEY (program_id, version) REFERENCES tier_policies (program_id, version)
);

INSERT INTO tier_policies
    (program_id, version, metric, period, window_micros, utc_offset_minutes, downgrade, grace_days,
     tier_count, effective_at, published_at, actor, reason)
SELECT p.program_id, 1, 'points_earned', 'rolling', p.tier_window_micros, 0, 'immediate', 0,
       (SELECT COUNT(*) FROM tiers t WHERE t.program_id = p.program_id), p.created_at, p.created_at, '', ''
FROM programs p;
INSERT INTO policy_tiers (program_id, version, rank, name, threshold, multiplier, benefits)
SELECT program_id, 1, rank, name, threshold, 10000, '[]'
FROM tiers;

CREATE TRIGGER tier_policies_in_order BEFORE INSERT ON tier_policies
WHEN NEW.version <> (
        SELECT COALESCE(MAX(version), 0) + 1 FROM tier_policies WHERE program_id = NEW.program_id
    ) OR NEW.effective_at < (
        SELECT MAX(effective_at) FROM tier_policies WHERE program_id = NEW.program_id
    )
BEGIN SELECT RAISE(ABORT, 'tier_policies: versions follow each other'); END;
CREATE TRIGGER policy_tiers_complete BEFORE INSERT ON policy_tiers
WHEN (SELECT COUNT(*) FROM policy_tiers WHERE program_id = NEW.program_id AND version = NEW.version)
    >= (SELECT tier_count FROM tier_policies WHERE program_id = NEW.program_id AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'policy_tiers: the version is complete'); END;
CREATE TRIGGER tier_policies_no_update BEFORE UPDATE ON tier_policies
BEGIN SELECT RAISE(ABORT, 'tier_policies is append-only'); END;
CREATE TRIGGER tier_policies_no_delete BEFORE DELETE ON tier_policies
BEGIN SELECT RAISE(ABORT, 'tier_policies is append-only'); END;
CREATE TRIGGER policy_tiers_no_update BEFORE UPDATE ON policy_tiers
BEGIN SELECT RAISE(ABORT, 'policy_tiers is append-only'); END;
CREATE TRIGGER policy_tiers_no_delete BEFORE DELETE ON policy_tiers
BEGIN SELECT RAISE(ABORT, 'policy_tiers is append-only'); END;

-- The version that a member's tier was decided under; the tier earned, whatever an override says.
ALTER TABLE members ADD COLUMN tier_policy BIGINT NOT NULL DEFAULT 1 CHECK (tier_policy >= 1);
ALTER TABLE members ADD COLUMN earned_tier TEXT;

-- The version that decided a change. SQLite cannot change a CHECK: the table is written anew.
CREATE TABLE new_tier_changes (
    customer_id    TEXT NOT NULL,
    revision       BIGINT NOT NULL,
    program_id     TEXT NOT NULL,
    from_tier      TEXT NOT NULL,
    to_tier        TEXT NOT NULL,
    reason         TEXT NOT NULL CHECK (reason IN
        ('enrolled', 'earned', 'reversed', 'aged_out', 'overridden', 'override_ended', 'policy_changed')),
    points         BIGINT NOT NULL,
    changed_at     BIGINT NOT NULL,
    actor          TEXT NOT NULL DEFAULT '',
    remark         TEXT NOT NULL DEFAULT '',
    policy_version BIGINT NOT NULL DEFAULT 1 CHECK (policy_version >= 1),
    PRIMARY KEY (customer_id, revision),
    CHECK (reason <> 'overridden' OR (actor <> '' AND remark <> ''))
);
INSERT INTO new_tier_changes
    (customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at, actor, remark)
SELECT customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at, actor, remark
FROM tier_changes;
DROP TABLE tier_changes;
ALTER TABLE new_tier_changes RENAME TO tier_changes;
CREATE TRIGGER tier_changes_no_update BEFORE UPDATE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;
CREATE TRIGGER tier_changes_no_delete BEFORE DELETE ON tier_changes
BEGIN SELECT RAISE(ABORT, 'tier_changes is append-only'); END;
