-- Ids are compared by bytes (COLLATE "C"), as SQLite does: pages and locks follow that order.

-- A customer; locking this row is what orders everything that happens to the customer.
CREATE TABLE customer (
    customer_id       TEXT COLLATE "C" PRIMARY KEY CHECK (length(customer_id) BETWEEN 1 AND 64),
    revision          BIGINT NOT NULL CHECK (revision >= 1),
    profile_revision  BIGINT NOT NULL CHECK (profile_revision BETWEEN 1 AND revision),
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    changed_at        BIGINT NOT NULL,
    industry          TEXT   NOT NULL,
    source            TEXT   NOT NULL,
    tags              TEXT   NOT NULL,  -- JSON list
    attributes        TEXT   NOT NULL   -- JSON object of text
);

-- What identifies a person, apart from the rest.
CREATE TABLE personal_data (
    customer_id   TEXT COLLATE "C" PRIMARY KEY REFERENCES customer ON DELETE CASCADE,
    display_name  TEXT NOT NULL,
    given_name    TEXT NOT NULL,
    family_name   TEXT NOT NULL,
    contacts      TEXT NOT NULL,  -- JSON list
    address       TEXT NOT NULL,  -- JSON object
    birth_date    TEXT,
    gender        TEXT NOT NULL CHECK (gender IN ('unknown', 'female', 'male', 'other', 'undisclosed'))
);

-- The customer's ids in other systems: one per system, and nobody shares one.
CREATE TABLE external_id (
    source       TEXT NOT NULL CHECK (source <> ''),
    external_id  TEXT COLLATE "C" NOT NULL CHECK (external_id <> ''),
    customer_id  TEXT COLLATE "C" NOT NULL REFERENCES customer ON DELETE CASCADE,
    PRIMARY KEY (source, external_id),
    UNIQUE (customer_id, source)
);

-- Ids of deleted customers: never given out again.
CREATE TABLE retired_customer (
    customer_id  TEXT COLLATE "C" PRIMARY KEY,
    revision     BIGINT NOT NULL,
    deleted_at   BIGINT NOT NULL
);

-- Purchases.
CREATE TABLE customer_transaction (
    customer_id     TEXT COLLATE "C" NOT NULL REFERENCES customer ON DELETE CASCADE,
    transaction_id  TEXT COLLATE "C" NOT NULL UNIQUE,
    source          TEXT   NOT NULL CHECK (source <> ''),
    external_id     TEXT COLLATE "C" NOT NULL CHECK (external_id <> ''),
    occurred_at     BIGINT NOT NULL,
    currency        TEXT   NOT NULL CHECK (length(currency) = 3),
    total_micros    BIGINT NOT NULL CHECK (total_micros >= 0),
    recorded_at     BIGINT NOT NULL,
    voided_at       BIGINT,
    void_reason     TEXT,
    PRIMARY KEY (customer_id, transaction_id),
    UNIQUE (source, external_id),
    CHECK ((voided_at IS NULL) = (void_reason IS NULL))
);
CREATE INDEX customer_transaction_timeline ON customer_transaction (customer_id, occurred_at, transaction_id);

-- What was bought.
CREATE TABLE transaction_line (
    customer_id     TEXT COLLATE "C" NOT NULL,
    transaction_id  TEXT COLLATE "C" NOT NULL,
    line            BIGINT NOT NULL CHECK (line BETWEEN 0 AND 999),
    sku             TEXT   NOT NULL,
    category        TEXT   NOT NULL,
    quantity        BIGINT NOT NULL CHECK (quantity >= 1),
    amount_micros   BIGINT NOT NULL CHECK (amount_micros >= 0),
    PRIMARY KEY (customer_id, transaction_id, line),
    FOREIGN KEY (customer_id, transaction_id) REFERENCES customer_transaction ON DELETE CASCADE
);

-- Calls, visits, complaints.
CREATE TABLE interaction (
    customer_id     TEXT COLLATE "C" NOT NULL REFERENCES customer ON DELETE CASCADE,
    interaction_id  TEXT COLLATE "C" NOT NULL,
    source          TEXT   NOT NULL CHECK (source <> ''),
    external_id     TEXT COLLATE "C" NOT NULL CHECK (external_id <> ''),
    channel         TEXT   NOT NULL,
    kind            TEXT   NOT NULL CHECK (kind <> ''),
    subject         TEXT   NOT NULL,
    occurred_at     BIGINT NOT NULL,
    recorded_at     BIGINT NOT NULL,
    PRIMARY KEY (customer_id, interaction_id),
    UNIQUE (source, external_id)
);
CREATE INDEX interaction_timeline ON interaction (customer_id, occurred_at, interaction_id);
