-- +goose Up

-- Times are unix microseconds in UTC; 0 means none.

CREATE TABLE journal (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT    NOT NULL,
    connection  TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    method      TEXT    NOT NULL,
    query       TEXT    NOT NULL,
    header      BLOB,
    body        BLOB,
    remote      TEXT    NOT NULL,
    state       INTEGER NOT NULL DEFAULT 0,
    cause       TEXT    NOT NULL DEFAULT '',
    error       TEXT    NOT NULL DEFAULT '',
    note        TEXT    NOT NULL DEFAULT '',
    settled_at  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX journal_new ON journal (state, project, connection, id, received_at) WHERE state = 0;
CREATE INDEX journal_list ON journal (project, id);
CREATE INDEX journal_connection ON journal (project, connection, id);
CREATE INDEX journal_received ON journal (project, received_at);
CREATE INDEX journal_refused ON journal (project, id) WHERE state > 1;

CREATE TABLE feeds (
    project TEXT    NOT NULL PRIMARY KEY,
    seq     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE records (
    project     TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    connection  TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    read_at     INTEGER NOT NULL,
    deleted     INTEGER NOT NULL,
    hash        BLOB    NOT NULL,
    company_id  TEXT    NOT NULL,
    contact_id  TEXT    NOT NULL,
    deal_id     TEXT    NOT NULL,
    employee_id TEXT    NOT NULL,
    lead_id     TEXT    NOT NULL,
    data        TEXT    NOT NULL,
    PRIMARY KEY (project, kind, connection, id)
);
CREATE UNIQUE INDEX records_feed ON records (project, seq);
CREATE INDEX records_created ON records (project, kind, created_at);
CREATE INDEX records_updated ON records (project, kind, updated_at);
CREATE INDEX records_deleted ON records (project, kind, connection) WHERE deleted = 1;
CREATE INDEX records_company ON records (project, connection, company_id, kind) WHERE company_id <> '';
CREATE INDEX records_contact ON records (project, connection, contact_id, kind) WHERE contact_id <> '';
CREATE INDEX records_deal ON records (project, connection, deal_id, kind) WHERE deal_id <> '';
CREATE INDEX records_employee ON records (project, connection, employee_id, kind) WHERE employee_id <> '';
CREATE INDEX records_lead ON records (project, connection, lead_id, kind) WHERE lead_id <> '';

CREATE TABLE refs (
    project    TEXT    NOT NULL,
    connection TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    since      INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    error      TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (project, connection, kind, id)
) WITHOUT ROWID;
CREATE INDEX refs_due ON refs (project, connection, due_at, kind, id);

CREATE TABLE polls (
    project    TEXT    NOT NULL,
    connection TEXT    NOT NULL,
    stream     TEXT    NOT NULL,
    cursor     TEXT    NOT NULL,
    importing  INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    last_run   INTEGER NOT NULL,
    next_run   INTEGER NOT NULL,
    failures   INTEGER NOT NULL,
    error      TEXT    NOT NULL,
    PRIMARY KEY (project, connection, stream)
) WITHOUT ROWID;

CREATE TABLE flows (
    project      TEXT    NOT NULL,
    flow         TEXT    NOT NULL,
    cursor       INTEGER NOT NULL DEFAULT 0,
    again_to     INTEGER NOT NULL DEFAULT 0, -- rows of changes up to here are looked at again
    row_count    INTEGER NOT NULL DEFAULT 0, -- its deliveries
    fingerprint  TEXT    NOT NULL DEFAULT '',
    statuses     TEXT    NOT NULL DEFAULT '',
    last_run     INTEGER NOT NULL DEFAULT 0,
    last_success INTEGER NOT NULL DEFAULT 0,
    last_upload  INTEGER NOT NULL DEFAULT 0,
    next_run     INTEGER NOT NULL DEFAULT 0,
    asked        INTEGER NOT NULL DEFAULT 0,
    asks         INTEGER NOT NULL DEFAULT 0,
    error        TEXT    NOT NULL DEFAULT '',
    cause        TEXT    NOT NULL DEFAULT '',
    failures     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (project, flow)
) WITHOUT ROWID;

-- What is remembered of each row of each flow. A row is touched three times at
-- most for each change: when it becomes due, when it is put aside, and when its
-- upload was accepted; so each index here has to be worth it. Uploads name rows
-- by their number.
CREATE TABLE deliveries (
    number       INTEGER PRIMARY KEY,
    project      TEXT    NOT NULL,
    flow         TEXT    NOT NULL,
    connection   TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    row_key      TEXT    NOT NULL DEFAULT '',
    wanted_seq   INTEGER NOT NULL,
    done_seq     INTEGER NOT NULL DEFAULT 0,
    state        INTEGER NOT NULL DEFAULT 0,
    hash         BLOB,
    needs        TEXT    NOT NULL DEFAULT '',
    hold_until   INTEGER NOT NULL DEFAULT 0, -- due, but not before then
    asked        INTEGER NOT NULL DEFAULT 0, -- by an operator: uploads with smaller numbers are not what was asked for
    upload_id    INTEGER NOT NULL DEFAULT 0, -- the last one that settled it
    remote_id    TEXT    NOT NULL DEFAULT '',
    cause        TEXT    NOT NULL DEFAULT '',
    error        TEXT    NOT NULL DEFAULT '',
    attempts     INTEGER NOT NULL DEFAULT 0,
    sent_at      INTEGER NOT NULL DEFAULT 0,
    updated_at   INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX deliveries_key ON deliveries (project, flow, connection, id);
CREATE INDEX deliveries_due ON deliveries (project, flow, wanted_seq, done_seq, state) WHERE wanted_seq > done_seq AND hold_until = 0;
CREATE INDEX deliveries_held ON deliveries (project, flow, hold_until, state) WHERE hold_until > 0;
-- Skipped, refused and waiting rows; the others are counted by what is left.
CREATE INDEX deliveries_aside ON deliveries (project, flow, state, connection, id) WHERE state > 2;
CREATE INDEX deliveries_refused ON deliveries (project, flow, connection, id) WHERE state = 4;
CREATE INDEX deliveries_row ON deliveries (project, flow, row_key) WHERE row_key <> '';
CREATE INDEX deliveries_needs ON deliveries (project, flow, needs) WHERE state = 5;

CREATE TABLE uploads (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT    NOT NULL,
    flow        TEXT    NOT NULL,
    connection  TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    token       TEXT    NOT NULL,
    mode        TEXT    NOT NULL,
    rows_group  TEXT    NOT NULL,
    parent      INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    remote_id   TEXT    NOT NULL,
    row_count   INTEGER NOT NULL,
    accepted    INTEGER NOT NULL,
    refused     INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    cause       TEXT    NOT NULL,
    error       TEXT    NOT NULL,
    details     BLOB,
    created_at  INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    follow_at   INTEGER NOT NULL
);
CREATE INDEX uploads_open ON uploads (id) WHERE status IN ('building', 'sending', 'in_doubt', 'processing');
CREATE INDEX uploads_list ON uploads (project, id);
CREATE INDEX uploads_flow ON uploads (project, flow, id);
CREATE INDEX uploads_created ON uploads (created_at);

-- The rows of uploads in their order; written once, in that order.
CREATE TABLE upload_rows (
    upload_id INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    delivery  INTEGER NOT NULL, -- its number
    seq       INTEGER NOT NULL, -- the change that the row shows
    hash      BLOB,
    row_key   TEXT    NOT NULL,
    refused   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (upload_id, position)
) WITHOUT ROWID;

CREATE TABLE leases (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    epoch  INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    wanted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX leases_held ON leases (until) WHERE holder <> '';

CREATE TABLE connections (
    project       TEXT    NOT NULL,
    connection    TEXT    NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'ok',
    error         TEXT    NOT NULL DEFAULT '',
    cause         TEXT    NOT NULL DEFAULT '',
    since         INTEGER NOT NULL DEFAULT 0,
    retry_at      INTEGER NOT NULL DEFAULT 0,
    last_event_at INTEGER NOT NULL DEFAULT 0,
    last_read_at  INTEGER NOT NULL DEFAULT 0,
    hook_secret   TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (project, connection)
) WITHOUT ROWID;

CREATE TABLE memories (
    project    TEXT NOT NULL,
    connection TEXT NOT NULL,
    name       TEXT NOT NULL,
    value      TEXT NOT NULL,
    PRIMARY KEY (project, connection, name)
) WITHOUT ROWID;

CREATE TABLE snapshots (
    project    TEXT    NOT NULL,
    connection TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    data       BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (project, connection, name)
);
CREATE INDEX snapshots_expiry ON snapshots (expires_at);

CREATE TABLE promise_numbers (
    project TEXT    NOT NULL PRIMARY KEY,
    number  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE promises (
    project         TEXT    NOT NULL,
    number          INTEGER NOT NULL,
    connection      TEXT    NOT NULL,
    dedup_key       TEXT    NOT NULL,
    expires_at      INTEGER NOT NULL,
    link_connection TEXT    NOT NULL DEFAULT '',
    link_kind       TEXT    NOT NULL DEFAULT '',
    link_id         TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (project, number)
);
CREATE UNIQUE INDEX promises_dedup ON promises (project, connection, dedup_key) WHERE dedup_key <> '';
CREATE INDEX promises_linked ON promises (project, connection) WHERE link_id <> '';

CREATE TABLE usage (
    name  TEXT    NOT NULL,
    day   TEXT    NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (name, day)
) WITHOUT ROWID;

CREATE TABLE users (
    name          TEXT    NOT NULL PRIMARY KEY,
    password_hash TEXT    NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    id_hash    TEXT    NOT NULL PRIMARY KEY,
    user_name  TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    csrf       TEXT    NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_expiry ON sessions (expires_at);

CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    user_name TEXT    NOT NULL,
    action    TEXT    NOT NULL,
    project   TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    remote    TEXT    NOT NULL
);
