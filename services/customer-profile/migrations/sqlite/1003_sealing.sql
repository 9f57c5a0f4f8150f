-- Personal data is sealed: see libs/common/src/sealing. Columns of plain text stay for rows that an older version wrote.

-- The key that seals a customer's data, itself sealed. Without it the data is lost, which is how it is erased.
CREATE TABLE data_key (
    customer_id  TEXT PRIMARY KEY REFERENCES customer ON DELETE CASCADE,
    key_id       TEXT NOT NULL CHECK (key_id <> ''),
    wrapped_key  BLOB NOT NULL CHECK (length(wrapped_key) = 61)
) WITHOUT ROWID;
-- How many hang on a key that is to be removed, and which.
CREATE INDEX data_key_by_key ON data_key (key_id, customer_id);

ALTER TABLE personal_data ADD COLUMN display_name_sealed BLOB CHECK (length(display_name_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN given_name_sealed BLOB CHECK (length(given_name_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN family_name_sealed BLOB CHECK (length(family_name_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN contacts_sealed BLOB CHECK (length(contacts_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN address_sealed BLOB CHECK (length(address_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN birth_date_sealed BLOB CHECK (length(birth_date_sealed) >= 61);
ALTER TABLE personal_data ADD COLUMN gender_sealed BLOB CHECK (length(gender_sealed) >= 61);
-- All of a row or nothing. The empty texts are no JSON: an older version cannot read them, and so does not take a sealed
-- customer for one without contacts.
ALTER TABLE personal_data ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0 CHECK (
    (sealed = 0
        AND display_name_sealed IS NULL AND given_name_sealed IS NULL AND family_name_sealed IS NULL
        AND contacts_sealed IS NULL AND address_sealed IS NULL AND birth_date_sealed IS NULL
        AND gender_sealed IS NULL)
    OR (sealed = 1
        AND display_name_sealed IS NOT NULL AND given_name_sealed IS NOT NULL AND family_name_sealed IS NOT NULL
        AND contacts_sealed IS NOT NULL AND address_sealed IS NOT NULL AND birth_date_sealed IS NOT NULL
        AND gender_sealed IS NOT NULL
        AND display_name = '' AND given_name = '' AND family_name = '' AND contacts = '' AND address = ''
        AND birth_date IS NULL AND gender = 'unknown'));
CREATE INDEX personal_data_plain ON personal_data (customer_id) WHERE sealed = 0;

ALTER TABLE interaction ADD COLUMN subject_sealed BLOB
    CHECK (subject_sealed IS NULL OR (subject = '' AND length(subject_sealed) >= 61));
CREATE INDEX interaction_plain ON interaction (customer_id, interaction_id) WHERE subject_sealed IS NULL;
