ALTER TABLE postings DROP CONSTRAINT postings_kind_check;
ALTER TABLE postings ADD CONSTRAINT postings_kind_check
    CHECK (kind IN ('earn', 'redeem', 'reverse', 'expire', 'hold', 'capture', 'release', 'adjust',
        'transfer', 'refund'));
ALTER TABLE postings ADD COLUMN counterparty TEXT COLLATE "C";
ALTER TABLE postings ADD CONSTRAINT postings_counterparty_check
    CHECK ((kind = 'transfer') = (counterparty IS NOT NULL) AND counterparty <> customer_id);

ALTER TABLE entries DROP CONSTRAINT entries_account_check;
ALTER TABLE entries ADD CONSTRAINT entries_account_check
    CHECK (account IN ('member', 'held', 'debt', 'issuance', 'redeemed', 'expired', 'clearing'));
