-- Statements read a member's postings by when they were written.
CREATE INDEX postings_by_time ON postings (customer_id, program_id, posted_at);
