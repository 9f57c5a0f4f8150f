-- Append-only.
CREATE TABLE expiry_extensions (
    customer_id     TEXT NOT NULL,
    revision        BIGINT NOT NULL,
    program_id      TEXT NOT NULL,
    lot_id          TEXT NOT NULL,
    from_expires_at BIGINT NOT NULL,
    to_expires_at   BIGINT NOT NULL,
    reason          TEXT NOT NULL CHECK (reason <> ''),
    extended_at     BIGINT NOT NULL,
    PRIMARY KEY (customer_id, revision),
    CHECK (to_expires_at > from_expires_at),
    CHECK (from_expires_at > extended_at)
);
CREATE TRIGGER expiry_extensions_no_update BEFORE UPDATE ON expiry_extensions
BEGIN SELECT RAISE(ABORT, 'expiry_extensions is append-only'); END;
CREATE TRIGGER expiry_extensions_no_delete BEFORE DELETE ON expiry_extensions
BEGIN SELECT RAISE(ABORT, 'expiry_extensions is append-only'); END;
