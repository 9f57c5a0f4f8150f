-- A posting may be reversed in parts.
CREATE INDEX postings_by_reversed ON postings (customer_id, reverses) WHERE reverses IS NOT NULL;
