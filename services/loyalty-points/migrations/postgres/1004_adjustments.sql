ALTER TABLE postings DROP CONSTRAINT postings_kind_check;
ALTER TABLE postings ADD CONSTRAINT postings_kind_check
    CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust'));
ALTER TABLE postings ADD COLUMN reason_code TEXT;
ALTER TABLE postings ADD CONSTRAINT postings_reason_code_check
    CHECK ((kind = 'adjust') = (reason_code IS NOT NULL));
