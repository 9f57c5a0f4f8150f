-- Append-only.
CREATE TABLE expiry_extensions (
    customer_id     TEXT COLLATE "C" NOT NULL,
    revision        BIGINT NOT NULL,
    program_id      TEXT COLLATE "C" NOT NULL,
    lot_id          TEXT COLLATE "C" NOT NULL,
    from_expires_at BIGINT NOT NULL,
    to_expires_at   BIGINT NOT NULL,
    reason          TEXT NOT NULL CHECK (reason <> ''),
    extended_at     BIGINT NOT NULL,
    PRIMARY KEY (customer_id, revision),
    CHECK (to_expires_at > from_expires_at),
    CHECK (from_expires_at > extended_at)
);
CREATE TRIGGER expiry_extensions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON expiry_extensions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
