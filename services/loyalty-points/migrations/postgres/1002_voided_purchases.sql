-- A purchase in here earns nothing, also if its recording is applied later than its void.
CREATE TABLE voided_purchases (
    customer_id    TEXT COLLATE "C" NOT NULL,
    transaction_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (customer_id, transaction_id)
);
