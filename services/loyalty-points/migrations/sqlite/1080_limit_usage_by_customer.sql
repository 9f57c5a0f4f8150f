-- The ledger's replay compares usage customer by customer, and that of budgets by itself.
CREATE INDEX limit_usage_by_customer ON limit_usage (customer_id, program_id, limit_id, window_start);
