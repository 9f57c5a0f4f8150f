-- Versions of tier policies. Never changed: another rule is another version. The one that holds at an instant is
-- the latest with effective_at not after it; before any, the first. programs.tier_window_micros and tiers are what
-- builds read that know of one policy only.
CREATE TABLE tier_policies (
    program_id         TEXT COLLATE "C" NOT NULL REFERENCES programs (program_id),
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
    program_id TEXT COLLATE "C" NOT NULL,
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

CREATE FUNCTION refuse_policy_out_of_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> (
        SELECT COALESCE(MAX(version), 0) + 1 FROM tier_policies WHERE program_id = NEW.program_id
    ) OR NEW.effective_at < (
        SELECT MAX(effective_at) FROM tier_policies WHERE program_id = NEW.program_id
    ) THEN
        RAISE EXCEPTION 'tier_policies: versions follow each other';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tier_policies_in_order BEFORE INSERT ON tier_policies
    FOR EACH ROW EXECUTE FUNCTION refuse_policy_out_of_order();
CREATE FUNCTION refuse_one_tier_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT COUNT(*) FROM policy_tiers WHERE program_id = NEW.program_id AND version = NEW.version)
        >= (SELECT tier_count FROM tier_policies WHERE program_id = NEW.program_id AND version = NEW.version)
    THEN
        RAISE EXCEPTION 'policy_tiers: the version is complete';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER policy_tiers_complete BEFORE INSERT ON policy_tiers
    FOR EACH ROW EXECUTE FUNCTION refuse_one_tier_more();
CREATE TRIGGER tier_policies_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tier_policies
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER policy_tiers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON policy_tiers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The version that a member's tier was decided under; the tier earned, whatever an override says.
ALTER TABLE members ADD COLUMN tier_policy BIGINT NOT NULL DEFAULT 1 CHECK (tier_policy >= 1);
ALTER TABLE members ADD COLUMN earned_tier TEXT;

-- The version that decided a change.
ALTER TABLE tier_changes DROP CONSTRAINT tier_changes_reason_check;
ALTER TABLE tier_changes ADD CONSTRAINT tier_changes_reason_check
    CHECK (reason IN ('enrolled', 'earned', 'reversed', 'aged_out', 'overridden', 'override_ended',
        'policy_changed'));
ALTER TABLE tier_changes ADD COLUMN policy_version BIGINT NOT NULL DEFAULT 1 CHECK (policy_version >= 1);
