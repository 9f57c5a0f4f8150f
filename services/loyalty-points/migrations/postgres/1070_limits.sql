-- Earning limits: caps on what one member earns in a window of the calendar, and budgets of what all members of a
-- program earn together. Each change is a version, numbered over all limits of the program, and never changed: what
-- holds of a limit is its latest one. currency '' stands for the program's first one.
CREATE TABLE earning_limits (
    program_id  TEXT COLLATE "C" NOT NULL REFERENCES programs (program_id),
    version     BIGINT NOT NULL CHECK (version >= 1),
    limit_id    TEXT COLLATE "C" NOT NULL CHECK (limit_id <> ''),
    scope       TEXT NOT NULL CHECK (scope IN ('member', 'program')),
    currency    TEXT COLLATE "C" NOT NULL,
    window_kind TEXT NOT NULL CHECK (window_kind IN ('day', 'week', 'month', 'year', 'lifetime')),
    points      BIGINT NOT NULL CHECK (points >= 0),
    excess      TEXT NOT NULL CHECK (excess IN ('refuse', 'clamp')),
    ended       BOOLEAN NOT NULL,
    actor       TEXT NOT NULL CHECK (actor <> ''),
    reason      TEXT NOT NULL CHECK (reason <> ''),
    changed_at  BIGINT NOT NULL,
    PRIMARY KEY (program_id, version),
    UNIQUE (program_id, limit_id, version)
);
CREATE TRIGGER earning_limits_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON earning_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The latest of those versions; 0 where there are none.
ALTER TABLE programs ADD COLUMN limits_version BIGINT NOT NULL DEFAULT 0 CHECK (limits_version >= 0);

-- What a limit counts never changes: its usage is of that.
CREATE FUNCTION refuse_limit_out_of_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> (
        SELECT COALESCE(MAX(version), 0) + 1 FROM earning_limits WHERE program_id = NEW.program_id
    ) THEN
        RAISE EXCEPTION 'earning_limits: versions follow each other';
    END IF;
    IF EXISTS (
        SELECT 1 FROM earning_limits
        WHERE program_id = NEW.program_id
            AND limit_id = NEW.limit_id
            AND (scope, currency, window_kind) <> (NEW.scope, NEW.currency, NEW.window_kind)
    ) THEN
        RAISE EXCEPTION 'earning_limits: a limit counts the same for ever';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER earning_limits_in_order BEFORE INSERT ON earning_limits
    FOR EACH ROW EXECUTE FUNCTION refuse_limit_out_of_order();

-- What was earned under a limit in a window, less what was taken back of it. customer_id: the member of a cap, '' of a
-- budget. window_start: in microseconds, 0 where the window is the whole life.
CREATE TABLE limit_usage (
    program_id   TEXT COLLATE "C" NOT NULL,
    limit_id     TEXT COLLATE "C" NOT NULL,
    customer_id  TEXT COLLATE "C" NOT NULL,
    window_start BIGINT NOT NULL,
    used         BIGINT NOT NULL CHECK (used >= 0),
    PRIMARY KEY (program_id, limit_id, customer_id, window_start)
);
CREATE FUNCTION refuse_use_beyond_limit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT COALESCE(NEW.used <= (
        SELECT points FROM earning_limits
        WHERE program_id = NEW.program_id
            AND limit_id = NEW.limit_id
            AND (scope = 'program') = (NEW.customer_id = '')
        ORDER BY version DESC
        LIMIT 1
    ), FALSE) THEN
        RAISE EXCEPTION 'limit_usage: more is used than the limit has';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER limit_usage_opened_within BEFORE INSERT ON limit_usage
    FOR EACH ROW EXECUTE FUNCTION refuse_use_beyond_limit();
CREATE TRIGGER limit_usage_grows_within BEFORE UPDATE ON limit_usage
    FOR EACH ROW WHEN (NEW.used > OLD.used) EXECUTE FUNCTION refuse_use_beyond_limit();
CREATE TRIGGER limit_usage_no_moving BEFORE UPDATE OF program_id, limit_id, customer_id, window_start ON limit_usage
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER limit_usage_no_delete BEFORE DELETE OR TRUNCATE ON limit_usage
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
