-- Append-only. Each block names the one before by its hash; head is the Merkle root over all blocks so far.
CREATE TABLE seal_blocks (
    block          BIGINT PRIMARY KEY CHECK (block >= 0),
    first_sequence BIGINT NOT NULL UNIQUE CHECK (first_sequence > 0),
    postings       BIGINT NOT NULL CHECK (postings BETWEEN 1 AND 1000),
    previous       BLOB NOT NULL,
    root           BLOB NOT NULL,
    link           BLOB NOT NULL,
    head           BLOB NOT NULL,
    sealed_at      BIGINT NOT NULL
);

-- Append-only. The leaf of each sealed posting; sequence has no gaps.
CREATE TABLE seals (
    sequence    BIGINT PRIMARY KEY CHECK (sequence > 0),
    block       BIGINT NOT NULL REFERENCES seal_blocks (block),
    customer_id TEXT NOT NULL,
    posting_id  TEXT NOT NULL,
    leaf        BLOB NOT NULL,
    UNIQUE (customer_id, posting_id)
);

-- Append-only. The complete subtrees over the hashes of blocks.
CREATE TABLE seal_nodes (
    level BIGINT NOT NULL,
    place BIGINT NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (level, place)
);

-- One row: its lock is what makes one sealer at a time. Everything in the feed up to here is sealed.
CREATE TABLE seal_head (
    part          BIGINT PRIMARY KEY CHECK (part = 0),
    feed_position BIGINT NOT NULL CHECK (feed_position >= 0)
);
INSERT INTO seal_head (part, feed_position) VALUES (0, 0);

CREATE TRIGGER seal_blocks_no_update BEFORE UPDATE ON seal_blocks
BEGIN SELECT RAISE(ABORT, 'seal_blocks is append-only'); END;
CREATE TRIGGER seal_blocks_no_delete BEFORE DELETE ON seal_blocks
BEGIN SELECT RAISE(ABORT, 'seal_blocks is append-only'); END;
CREATE TRIGGER seals_no_update BEFORE UPDATE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
CREATE TRIGGER seals_no_delete BEFORE DELETE ON seals
BEGIN SELECT RAISE(ABORT, 'seals is append-only'); END;
CREATE TRIGGER seal_nodes_no_update BEFORE UPDATE ON seal_nodes
BEGIN SELECT RAISE(ABORT, 'seal_nodes is append-only'); END;
CREATE TRIGGER seal_nodes_no_delete BEFORE DELETE ON seal_nodes
BEGIN SELECT RAISE(ABORT, 'seal_nodes is append-only'); END;
