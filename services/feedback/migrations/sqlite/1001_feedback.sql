-- The customers known from the customer service's feed, and how often each changed here.
CREATE TABLE customer (
    customer_id TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    known_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE TABLE survey (
    survey_id TEXT PRIMARY KEY,
    survey_type TEXT NOT NULL,
    title TEXT NOT NULL,
    question TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    closed_at BIGINT,
    revision BIGINT NOT NULL
);
CREATE INDEX survey_by_age ON survey (created_at, survey_id);

-- The secret token itself is nowhere.
CREATE TABLE invitation (
    customer_id TEXT NOT NULL,
    invitation_id TEXT NOT NULL,
    survey_id TEXT NOT NULL REFERENCES survey,
    channel TEXT NOT NULL,
    token_sha256 BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    PRIMARY KEY (customer_id, invitation_id)
);
CREATE INDEX invitation_by_id ON invitation (invitation_id);
CREATE INDEX invitation_by_token ON invitation (token_sha256);

-- Its key is what makes a second response to an invitation impossible.
CREATE TABLE survey_response (
    customer_id TEXT NOT NULL,
    invitation_id TEXT NOT NULL,
    response_id TEXT NOT NULL,
    survey_id TEXT NOT NULL,
    score BIGINT NOT NULL,
    comment TEXT NOT NULL,
    channel TEXT NOT NULL,
    submitted_at BIGINT NOT NULL,
    PRIMARY KEY (customer_id, invitation_id),
    FOREIGN KEY (customer_id, invitation_id) REFERENCES invitation
);
-- With the score in it, a metric reads the index alone.
CREATE INDEX survey_response_by_age ON survey_response (survey_id, submitted_at, response_id, score);
CREATE INDEX survey_response_by_customer ON survey_response (customer_id, survey_id, submitted_at, response_id);

CREATE TABLE ticket (
    customer_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    ticket_type TEXT NOT NULL,
    priority TEXT NOT NULL,
    subject TEXT NOT NULL,
    description TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    state TEXT NOT NULL,
    assignee TEXT NOT NULL,
    resolution_code TEXT,
    resolution_text TEXT,
    reopen_count BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    resolved_at BIGINT,
    closed_at BIGINT,
    PRIMARY KEY (customer_id, ticket_id)
);
CREATE INDEX ticket_by_id ON ticket (ticket_id);
CREATE INDEX ticket_by_age ON ticket (opened_at, ticket_id);
CREATE INDEX ticket_by_customer ON ticket (customer_id, opened_at, ticket_id);
CREATE INDEX ticket_by_state ON ticket (state, opened_at, ticket_id);
CREATE INDEX ticket_by_assignee ON ticket (assignee, opened_at, ticket_id);

-- The history of tickets. A ticket row is what its events add up to.
CREATE TABLE ticket_event (
    customer_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    action TEXT NOT NULL,
    from_state TEXT,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    assignee TEXT,
    resolution_code TEXT,
    resolution_text TEXT,
    occurred_at BIGINT NOT NULL,
    PRIMARY KEY (customer_id, ticket_id, version),
    FOREIGN KEY (customer_id, ticket_id) REFERENCES ticket
);

CREATE TRIGGER ticket_event_is_never_updated BEFORE UPDATE ON ticket_event
BEGIN
    SELECT RAISE(ABORT, 'ticket_event is append-only');
END;
CREATE TRIGGER ticket_event_is_never_deleted BEFORE DELETE ON ticket_event
BEGIN
    SELECT RAISE(ABORT, 'ticket_event is append-only');
END;
