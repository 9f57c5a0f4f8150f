-- Purchases in the program's money currency, as far as tiers go: also those that earn less than a point. spend is
-- what was paid, remaining what was not taken back of it, in micros. The rest tells how the points came about.
CREATE TABLE purchases (
    customer_id    TEXT NOT NULL,
    program_id     TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    occurred_at    BIGINT NOT NULL,
    recorded_at    BIGINT NOT NULL,
    spend          BIGINT NOT NULL CHECK (spend > 0),
    remaining      BIGINT NOT NULL CHECK (remaining BETWEEN 0 AND spend),
    base_points    BIGINT NOT NULL CHECK (base_points >= 0),
    tier           TEXT NOT NULL,
    multiplier     BIGINT NOT NULL CHECK (multiplier BETWEEN 1 AND 1000000),
    policy_version BIGINT NOT NULL CHECK (policy_version >= 1),
    PRIMARY KEY (customer_id, program_id, transaction_id)
);
CREATE INDEX purchases_by_time ON purchases (customer_id, program_id, occurred_at);

CREATE TRIGGER purchases_only_shrink BEFORE UPDATE ON purchases WHEN NEW.remaining > OLD.remaining
BEGIN SELECT RAISE(ABORT, 'purchases: what was taken back stays so'); END;
CREATE TRIGGER purchases_no_delete BEFORE DELETE ON purchases
BEGIN SELECT RAISE(ABORT, 'purchases is append-only'); END;
CREATE TRIGGER purchases_no_rewriting
    BEFORE UPDATE OF customer_id, program_id, transaction_id, occurred_at, recorded_at, spend, base_points,
        tier, multiplier, policy_version
    ON purchases
BEGIN SELECT RAISE(ABORT, 'purchases is append-only'); END;
