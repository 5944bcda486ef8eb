-- The journal as first laid down. Times are ISO-8601 UTC text with microseconds, so text order is time order.
-- `body` is the whole value as JSON that ends in its own CRC-32; the columns beside it are what queries ask for.

PRAGMA application_id = 1380273476;

CREATE TABLE deliveries (
    id          INTEGER PRIMARY KEY,
    received_at TEXT NOT NULL,
    sender      TEXT NOT NULL,
    is_packed   INTEGER NOT NULL CHECK (is_packed IN (0, 1)),    -- whether `body` is the zlib stream of what came
    body        BLOB NOT NULL
) STRICT;
CREATE INDEX deliveries_by_age ON deliveries (received_at);

CREATE TABLE runs (
    filed       INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    rule        TEXT NOT NULL,
    episode     TEXT NOT NULL,
    state       TEXT NOT NULL,
    is_live     INTEGER NOT NULL CHECK (is_live IN (0, 1)),
    created_at  TEXT NOT NULL,
    due_at      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    resolved_at TEXT,    -- the truth; deliveries set it without raising the version a worker holds
    delivery    INTEGER REFERENCES deliveries (id) ON DELETE SET NULL,
    body        TEXT NOT NULL,
    UNIQUE (episode, rule)    -- one run for each rule and episode, ever; episode first, to find a resolution's runs
) STRICT;
CREATE INDEX runs_live ON runs (created_at, filed, due_at) WHERE is_live = 1;
CREATE INDEX runs_due ON runs (due_at) WHERE is_live = 1;
CREATE INDEX runs_by_age ON runs (created_at);
CREATE INDEX runs_by_state ON runs (state, created_at);
CREATE INDEX runs_by_rule ON runs (rule, created_at);
CREATE INDEX runs_by_delivery ON runs (delivery);

-- A resolution may arrive before the alert it resolves, so it is remembered by itself.
CREATE TABLE resolutions (
    episode TEXT PRIMARY KEY,
    at      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE steps (
    run_id  TEXT NOT NULL REFERENCES runs (id),
    seq     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (run_id, seq, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE traces (
    id     INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    body   TEXT NOT NULL
) STRICT;
CREATE INDEX traces_of_run ON traces (run_id);

-- The strict log behind every limit: one row for each scope of each started run.
CREATE TABLE starts (
    id     INTEGER PRIMARY KEY,
    scope  TEXT NOT NULL,
    at     TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs (id)
) STRICT;
CREATE INDEX starts_in_scope ON starts (scope, at);

CREATE TABLE target_locks (
    target_key TEXT PRIMARY KEY,
    run_id     TEXT NOT NULL UNIQUE REFERENCES runs (id)
) STRICT, WITHOUT ROWID;

-- When the last run that wrote to a target ended.
CREATE TABLE finished (
    target_key TEXT PRIMARY KEY,
    at         TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Append-only: the newest row of a name is how the switch stands, the others are its history.
CREATE TABLE switches (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX switches_by_name ON switches (name, id);
