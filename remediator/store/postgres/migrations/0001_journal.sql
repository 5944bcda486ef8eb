-- The journal as first laid down. `body` is the whole value as JSON that ends in its own CRC-32; the columns beside it
-- are what queries ask for, and the truth for what changes without the body.

-- One row. `usable_from`: the oldest schema number that a program may know and still use this schema.
CREATE TABLE schema_version (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version     integer NOT NULL,
    usable_from integer NOT NULL
);
INSERT INTO schema_version (version, usable_from) VALUES (1, 1);

-- Each process counts its transactions here, in the transaction itself: whoever was cut off from the answer to a
-- COMMIT reads its number and knows.
CREATE TABLE writers (
    worker  text PRIMARY KEY,
    number  bigint NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE TABLE deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    sender      text NOT NULL,
    is_packed   boolean NOT NULL,    -- whether `body` is the zlib stream of what came
    body        bytea NOT NULL
);
CREATE INDEX deliveries_by_age ON deliveries (received_at);

CREATE TABLE runs (
    id          text PRIMARY KEY,
    filed       bigint GENERATED ALWAYS AS IDENTITY,
    rule        text NOT NULL,
    episode     text NOT NULL,
    state       text NOT NULL,
    is_live     boolean NOT NULL,
    created_at  timestamptz NOT NULL,
    due_at      timestamptz NOT NULL,
    version     bigint NOT NULL DEFAULT 0,
    resolved_at timestamptz,
    ended_at    timestamptz,
    tries       integer NOT NULL DEFAULT 0,    -- claims since it last got on or was given back
    owner       text,
    lease_until timestamptz,    -- by the clock of this database; past: anybody's
    delivery    bigint NOT NULL,    -- that made it; its body may be forgotten since
    body        text NOT NULL,
    UNIQUE (episode, rule)    -- one run for each rule and episode, ever; episode first, to find a resolution's runs
);
CREATE INDEX runs_live ON runs (created_at, filed) WHERE is_live;
CREATE INDEX runs_suspect ON runs (created_at, filed) WHERE is_live AND tries > 0;
CREATE INDEX runs_free ON runs (due_at) WHERE is_live AND lease_until IS NULL;
CREATE INDEX runs_leased ON runs (lease_until) WHERE is_live AND lease_until IS NOT NULL;
CREATE INDEX runs_owned ON runs (owner) WHERE owner IS NOT NULL;
CREATE INDEX runs_by_age ON runs (created_at, filed);
CREATE INDEX runs_by_delivery ON runs (delivery) WHERE is_live;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;

-- The rule and episode of each run that was forgotten.
CREATE TABLE past_cases (
    episode text NOT NULL,
    rule    text NOT NULL,
    run_id  text NOT NULL,
    PRIMARY KEY (episode, rule)
);

-- A resolution may arrive before the alert it resolves, so it is remembered by itself.
CREATE TABLE resolutions (
    episode text PRIMARY KEY,
    at      timestamptz NOT NULL
);

CREATE TABLE steps (
    run_id  text NOT NULL REFERENCES runs (id),
    seq     integer NOT NULL,
    attempt integer NOT NULL,
    body    text NOT NULL,
    PRIMARY KEY (run_id, seq, attempt)
);

CREATE TABLE traces (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL REFERENCES runs (id),
    body   text NOT NULL
);
CREATE INDEX traces_of_run ON traces (run_id, id);

-- First writer wins; nothing is ever changed or taken back.
CREATE TABLE signals (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL REFERENCES runs (id),
    name   text NOT NULL,
    digest text NOT NULL,
    body   text NOT NULL,
    UNIQUE (run_id, name, digest)
);

-- The strict log behind every limit, one row for each scope of each started run. It outlasts the runs.
CREATE TABLE starts (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scope  text NOT NULL,
    at     timestamptz NOT NULL,
    run_id text NOT NULL
);
CREATE INDEX starts_in_scope ON starts (scope, at);

CREATE TABLE target_locks (
    target_key text PRIMARY KEY,
    run_id     text NOT NULL UNIQUE REFERENCES runs (id)
);

-- Every end of a run that wrote to a target: cooldowns grow with them.
CREATE TABLE finishes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target_key text NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX finishes_of_target ON finishes (target_key, at);

-- Append-only: the newest row of a name is how the switch stands, the others are its history.
CREATE TABLE switches (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    body text NOT NULL
);
CREATE INDEX switches_by_name ON switches (name, id);

-- Append-only. `hash` covers this record and the hash before it.
CREATE TABLE audit (
    seq  bigint PRIMARY KEY,
    at   text NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    hash text NOT NULL
);
-- The end of the chain. Its one row is locked last in a transaction, so whoever has it waits for nothing else.
CREATE TABLE audit_head (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    seq     bigint NOT NULL,
    hash    text NOT NULL
);
INSERT INTO audit_head (seq, hash) VALUES (0, repeat('0', 64));

CREATE FUNCTION refuse_to_change_the_audit_trail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_to_change_the_audit_trail();
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_the_audit_trail();
