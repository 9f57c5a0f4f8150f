-- The lines of what an earning was for; an earning can be taken back by them. Never changed but for what was
-- returned, which only grows.
CREATE TABLE earning_lines (
    customer_id       TEXT COLLATE "C" NOT NULL,
    posting_id        TEXT NOT NULL,
    line_id           TEXT COLLATE "C" NOT NULL,
    place             BIGINT NOT NULL CHECK (place >= 0),
    weight            BIGINT NOT NULL CHECK (weight > 0),
    quantity          BIGINT NOT NULL CHECK (quantity > 0),
    returned_weight   BIGINT NOT NULL DEFAULT 0 CHECK (returned_weight >= 0),
    returned_quantity BIGINT NOT NULL DEFAULT 0 CHECK (returned_quantity >= 0),
    PRIMARY KEY (customer_id, posting_id, line_id),
    UNIQUE (customer_id, posting_id, place),
    CHECK (returned_weight <= weight),
    CHECK (returned_quantity <= quantity),
    CHECK (returned_quantity < quantity OR returned_weight = weight)
);

CREATE FUNCTION refuse_taking_back_a_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'earning_lines: what was returned only grows';
END $$;
CREATE TRIGGER earning_lines_only_grow BEFORE UPDATE ON earning_lines
    FOR EACH ROW WHEN (NEW.returned_weight < OLD.returned_weight
        OR NEW.returned_quantity < OLD.returned_quantity)
    EXECUTE FUNCTION refuse_taking_back_a_return();
CREATE TRIGGER earning_lines_no_delete BEFORE DELETE OR TRUNCATE ON earning_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER earning_lines_no_rewriting
    BEFORE UPDATE OF customer_id, posting_id, line_id, place, weight, quantity ON earning_lines
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
