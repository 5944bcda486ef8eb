-- Claims that are counted, signals, growing cooldowns, the audit trail, and what is left of forgotten runs.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;    -- claims since it last got on or was given back
ALTER TABLE runs ADD COLUMN ended_at TEXT;
UPDATE runs SET ended_at = coalesce(json_extract(body, '$.finished_at'), created_at) WHERE is_live = 0;
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;

-- First writer wins; nothing is ever changed or taken back.
CREATE TABLE signals (
    id     INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    name   TEXT NOT NULL,
    digest TEXT NOT NULL,
    body   TEXT NOT NULL,
    UNIQUE (run_id, name, digest)
) STRICT;

-- Every end of a run that wrote to a target: cooldowns grow with them.
CREATE TABLE finishes (
    id         INTEGER PRIMARY KEY,
    target_key TEXT NOT NULL,
    at         TEXT NOT NULL
) STRICT;
INSERT INTO finishes (target_key, at) SELECT target_key, at FROM finished;
DROP TABLE finished;
CREATE INDEX finishes_of_target ON finishes (target_key, at);

-- Starts outlast their runs: a limit may look back further than runs are kept.
CREATE TABLE kept_starts (
    id     INTEGER PRIMARY KEY,
    scope  TEXT NOT NULL,
    at     TEXT NOT NULL,
    run_id TEXT NOT NULL
) STRICT;
INSERT INTO kept_starts (scope, at, run_id) SELECT scope, at, run_id FROM starts ORDER BY id;
DROP TABLE starts;
ALTER TABLE kept_starts RENAME TO starts;
CREATE INDEX starts_in_scope ON starts (scope, at);

-- The rule and episode of each run that was forgotten: one run for each, ever.
CREATE TABLE past_cases (
    episode TEXT NOT NULL,
    rule    TEXT NOT NULL,
    run_id  TEXT NOT NULL,
    PRIMARY KEY (episode, rule)
) STRICT, WITHOUT ROWID;

-- Append-only. `hash` covers this record and the hash before it.
CREATE TABLE audit (
    seq  INTEGER PRIMARY KEY,
    at   TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_never_cut BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit trail is append-only'); END;
