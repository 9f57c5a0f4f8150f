-- Sweeps, recalculations and seals that somebody asked for: who, why, and how far each is. Batches before `batches` are
-- closed: what was done in them is told and stays as it is.
CREATE TABLE runs (
    run_id      TEXT PRIMARY KEY NOT NULL,
    method      TEXT NOT NULL CHECK (method <> ''),
    request_id  TEXT CHECK (request_id <> ''),
    actor       TEXT NOT NULL CHECK (actor <> ''),
    reason      TEXT NOT NULL,
    begun_at    BIGINT NOT NULL,
    batches     BIGINT NOT NULL CHECK (batches >= 0),
    finished_at BIGINT
);
CREATE INDEX runs_by_age ON runs (begun_at, run_id);
CREATE TRIGGER runs_go_on BEFORE UPDATE ON runs
WHEN OLD.finished_at IS NOT NULL
    OR NEW.batches NOT IN (OLD.batches, OLD.batches + 1)
    OR (NEW.run_id, NEW.method, NEW.request_id, NEW.actor, NEW.reason, NEW.begun_at)
        IS NOT (OLD.run_id, OLD.method, OLD.request_id, OLD.actor, OLD.reason, OLD.begun_at)
BEGIN SELECT RAISE(ABORT, 'runs: one goes on batch by batch and ends once'); END;

-- What is looked at in a batch, decided before anything is done in it.
CREATE TABLE run_batches (
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    batch  BIGINT NOT NULL CHECK (batch >= 0),
    plan   TEXT NOT NULL,
    PRIMARY KEY (run_id, batch)
);
CREATE TRIGGER run_batches_no_update BEFORE UPDATE ON run_batches
BEGIN SELECT RAISE(ABORT, 'run_batches: one never changes'); END;

-- What was done for a member, written together with it; once in a run. Without a revision, the member could not be
-- done.
CREATE TABLE run_members (
    run_id         TEXT NOT NULL,
    batch          BIGINT NOT NULL,
    program_id     TEXT NOT NULL,
    customer_id    TEXT NOT NULL,
    revision       BIGINT,
    holds_expired  BIGINT NOT NULL CHECK (holds_expired >= 0),
    points_expired BIGINT NOT NULL CHECK (points_expired >= 0),
    notices        BIGINT NOT NULL CHECK (notices >= 0),
    PRIMARY KEY (run_id, customer_id, program_id),
    FOREIGN KEY (run_id, batch) REFERENCES run_batches (run_id, batch),
    CHECK (revision IS NOT NULL OR holds_expired + points_expired + notices = 0)
);
CREATE INDEX run_members_by_batch ON run_members (run_id, batch);
CREATE TRIGGER run_members_no_update BEFORE UPDATE ON run_members
BEGIN SELECT RAISE(ABORT, 'run_members: one never changes'); END;
