-- +goose Up

-- What records were before they changed: one row in one table with one index for
-- a change of content, and nothing for a new record. At most 30 versions of a
-- record stay; housekeeping removes those that are older than the journal.
CREATE TABLE record_versions (
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    connection  TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    read_at     INTEGER NOT NULL,
    replaced_at INTEGER NOT NULL,
    deleted     INTEGER NOT NULL,
    data        TEXT    NOT NULL
);
CREATE INDEX record_versions_record ON record_versions (project, kind, connection, id, seq);

-- What an operator has paused while the hub runs.
CREATE TABLE switches (
    project   TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    user_name TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (project, subject, id)
) WITHOUT ROWID;

-- Long work that an operator asked for: done in steps, can be watched and stopped.
CREATE TABLE errands (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    project    TEXT    NOT NULL,
    flow       TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    filter     TEXT    NOT NULL,
    position   TEXT    NOT NULL,
    total      INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    status     TEXT    NOT NULL,
    error      TEXT    NOT NULL,
    user_name  TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX errands_running ON errands (id) WHERE status = 'running';
CREATE INDEX errands_project ON errands (project, id);

-- What operators said about a group of errors.
CREATE TABLE error_marks (
    project    TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    cause      TEXT    NOT NULL,
    field      TEXT    NOT NULL,
    mark       TEXT    NOT NULL,
    user_name  TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (project, subject, id, cause, field)
) WITHOUT ROWID;
