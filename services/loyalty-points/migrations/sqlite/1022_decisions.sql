-- What a posting was decided on, where its lines do not tell.
ALTER TABLE postings ADD COLUMN decision TEXT;
