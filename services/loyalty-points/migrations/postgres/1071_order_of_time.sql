-- Statements read a member's postings in the order of revisions.
DROP INDEX postings_by_time;
