-- Lives of the feed that restores from backups have ended, and the last position that each shares with the next.
CREATE TABLE feed_epoch (
    epoch        TEXT   PRIMARY KEY,
    ordinal      BIGINT NOT NULL UNIQUE,
    ended_at     BIGINT NOT NULL CHECK (ended_at >= 0)
);
