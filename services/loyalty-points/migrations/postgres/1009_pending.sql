-- A lot may wait for an event: until then there is no instant from which on it can be spent.
ALTER TABLE lots ALTER COLUMN activates_at DROP NOT NULL;
ALTER TABLE lots ADD COLUMN cancelled_at BIGINT;
ALTER TABLE lots ADD CONSTRAINT lots_pending_check
    CHECK (activates_at IS NOT NULL OR held = 0);
ALTER TABLE lots ADD CONSTRAINT lots_cancelled_check
    CHECK (cancelled_at IS NULL OR (activates_at IS NULL AND remaining = 0 AND qualifying = 0));

CREATE FUNCTION refuse_second_settlement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lots: one that was activated or cancelled stays so';
END $$;
CREATE TRIGGER lots_settled_once BEFORE UPDATE OF activates_at, cancelled_at ON lots
    FOR EACH ROW WHEN (OLD.activates_at IS NOT NULL OR OLD.cancelled_at IS NOT NULL)
    EXECUTE FUNCTION refuse_second_settlement();

ALTER TABLE postings DROP CONSTRAINT postings_kind_check;
ALTER TABLE postings ADD CONSTRAINT postings_kind_check
    CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust',
        'transfer', 'refund', 'activate', 'cancel'));
