-- What a sweep has passed on to whoever stands for a merged member, as it is told; empty where nothing was.
ALTER TABLE run_members ADD COLUMN passed_on BLOB NOT NULL DEFAULT x''
    CHECK (revision IS NOT NULL OR length(passed_on) = 0);
