-- A purchase in here earns nothing, also if its recording is applied later than its void.
CREATE TABLE voided_purchases (
    customer_id    TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    PRIMARY KEY (customer_id, transaction_id)
);
