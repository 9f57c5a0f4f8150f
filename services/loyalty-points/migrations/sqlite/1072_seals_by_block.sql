-- A block is verified by its own seals, however many others there are.
CREATE INDEX seals_by_block ON seals (block, sequence);
