-- Only SQLite keeps a table apart from its key; see the same number there.
SELECT 1;
