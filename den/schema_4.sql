-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_3.sql: what an enrolment grants, machines that wait for approval, names, and
-- new keys for known IDs.

-- committed: for ever. provisional: drawn for somebody whom nobody vouched for, given up when he does not
-- come back. ephemeral: ends some time after it disconnected; its ID is not given to anybody else.
ALTER TABLE identity ADD COLUMN kind TEXT NOT NULL DEFAULT 'committed'
    CHECK (kind IN ('committed', 'provisional', 'ephemeral'));
ALTER TABLE identity ADD COLUMN groups TEXT NOT NULL DEFAULT '' CHECK (length(groups) <= 255);
ALTER TABLE identity ADD COLUMN host TEXT NOT NULL DEFAULT '' CHECK (length(host) <= 64);
ALTER TABLE identity ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0 CHECK (expires_at >= 0); -- 0: never
ALTER TABLE identity ADD COLUMN vanish_after INTEGER NOT NULL DEFAULT 0 CHECK (vanish_after >= 0);
ALTER TABLE identity ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0 CHECK (seen_at >= 0);
ALTER TABLE identity ADD COLUMN rekey_no INTEGER NOT NULL DEFAULT 0 CHECK (rekey_no >= 0);
ALTER TABLE identity ADD COLUMN ended TEXT NOT NULL DEFAULT '' CHECK (ended IN ('', 'vanished', 'removed'));
CREATE INDEX identity_passing ON identity (kind, seen_at) WHERE kind <> 'committed' AND ended = '';

DROP TRIGGER identity_is_for_ever;
DROP TRIGGER identity_keeps_its_key;
CREATE TRIGGER identity_is_for_ever BEFORE DELETE ON identity WHEN old.kind <> 'provisional'
BEGIN SELECT RAISE(ABORT, 'an ID is never given up'); END;
CREATE TRIGGER identity_keeps_its_id BEFORE UPDATE OF id ON identity
BEGIN SELECT RAISE(ABORT, 'an ID belongs to one key'); END;
CREATE TRIGGER identity_keeps_its_key BEFORE UPDATE OF pk ON identity WHEN new.rekey_no <> old.rekey_no + 1
BEGIN SELECT RAISE(ABORT, 'an ID belongs to one key'); END;
CREATE TRIGGER identity_stays_committed BEFORE UPDATE OF kind ON identity
WHEN old.kind <> 'provisional' AND new.kind <> old.kind
BEGIN SELECT RAISE(ABORT, 'an ID is never given up'); END;

-- How full the IDs of each length are, without counting them each time.
CREATE TABLE identity_count (
    digits INTEGER NOT NULL PRIMARY KEY,
    n      INTEGER NOT NULL CHECK (n >= 0)
) STRICT;
INSERT INTO identity_count (digits, n) SELECT length(id), count(*) FROM identity GROUP BY length(id);
CREATE TRIGGER identity_is_counted AFTER INSERT ON identity
BEGIN
    INSERT INTO identity_count (digits, n) VALUES (length(new.id), 1)
        ON CONFLICT (digits) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER identity_is_discounted AFTER DELETE ON identity
BEGIN UPDATE identity_count SET n = n - 1 WHERE digits = length(old.id); END;

ALTER TABLE token ADD COLUMN uses INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0); -- 0: any number
ALTER TABLE token ADD COLUMN n_used INTEGER NOT NULL DEFAULT 0 CHECK (n_used >= 0);
ALTER TABLE token ADD COLUMN groups TEXT NOT NULL DEFAULT '' CHECK (length(groups) <= 255);
ALTER TABLE token ADD COLUMN label TEXT NOT NULL DEFAULT '' CHECK (length(label) <= 64);
ALTER TABLE token ADD COLUMN is_approved INTEGER NOT NULL DEFAULT 1 CHECK (is_approved IN (0, 1));
ALTER TABLE token ADD COLUMN device_life INTEGER NOT NULL DEFAULT 0 CHECK (device_life >= 0);
ALTER TABLE token ADD COLUMN vanish_after INTEGER NOT NULL DEFAULT 0 CHECK (vanish_after >= 0);
ALTER TABLE token ADD COLUMN for_id TEXT NOT NULL DEFAULT ''; -- gives this ID a new key
ALTER TABLE token ADD COLUMN "by" TEXT NOT NULL DEFAULT '' CHECK (length(by) <= 31);
ALTER TABLE token ADD COLUMN revoked_at INTEGER NOT NULL DEFAULT 0 CHECK (revoked_at >= 0); -- 0: not
UPDATE token SET n_used = (SELECT count(*) FROM token_use WHERE token_pk = pk);
UPDATE token SET uses = uses_left + n_used;

-- Machines that asked and wait for an answer. Nobody has an ID here.
CREATE TABLE waiting (
    pk         BLOB    NOT NULL PRIMARY KEY CHECK (length(pk) = 32),
    code       TEXT    NOT NULL CHECK (length(code) = 14),
    host       TEXT    NOT NULL CHECK (length(host) <= 64),
    source     TEXT    NOT NULL CHECK (length(source) <= 64),
    network    BLOB    NOT NULL,                   -- of the source: whose quota this row takes from
    token_pk   BLOB    NOT NULL CHECK (length(token_pk) IN (0, 32)),
    first_at   INTEGER NOT NULL CHECK (first_at >= 0),
    last_at    INTEGER NOT NULL CHECK (last_at >= 0),
    answer     TEXT    NOT NULL DEFAULT '' CHECK (answer IN ('', 'approved', 'denied')),
    role       TEXT    NOT NULL DEFAULT 'peer' CHECK (role IN ('peer', 'admin')),
    groups     TEXT    NOT NULL DEFAULT '' CHECK (length(groups) <= 255)
) STRICT;
CREATE INDEX waiting_by_network ON waiting (network);

-- One row a name, for ever: its number rises with every change.
CREATE TABLE name (
    name        TEXT    NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128),
    skeleton    TEXT    NOT NULL UNIQUE,           -- what it looks like
    id          TEXT    NOT NULL,
    name_no     INTEGER NOT NULL CHECK (name_no >= 1),
    is_assigned INTEGER NOT NULL CHECK (is_assigned IN (0, 1)),
    claimed_at  INTEGER NOT NULL CHECK (claimed_at >= 0),
    released_at INTEGER NOT NULL CHECK (released_at >= 0)  -- 0: in use
) STRICT;
CREATE INDEX name_by_id ON name (id);
CREATE TRIGGER names_stay BEFORE DELETE ON name
BEGIN SELECT RAISE(ABORT, 'the number of a name never falls'); END;
CREATE TRIGGER name_numbers_rise BEFORE UPDATE ON name WHEN new.name_no <> old.name_no + 1
BEGIN SELECT RAISE(ABORT, 'the number of a name never falls'); END;

-- Every key that an ID ever had, but its present one. A key that was replaced never comes back.
CREATE TABLE rekey (
    id        TEXT    NOT NULL,
    rekey_no  INTEGER NOT NULL CHECK (rekey_no >= 1),
    old_pk    BLOB    NOT NULL UNIQUE CHECK (length(old_pk) = 32),
    new_pk    BLOB    NOT NULL UNIQUE CHECK (length(new_pk) = 32),
    statement BLOB    NOT NULL,
    sig       BLOB    NOT NULL CHECK (length(sig) = 64),          -- by the old key, or by den
    new_sig   BLOB    NOT NULL CHECK (length(new_sig) IN (0, 64)), -- by the new key; empty: not yet
    PRIMARY KEY (id, rekey_no)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER rekeys_stay BEFORE DELETE ON rekey
BEGIN SELECT RAISE(ABORT, 'a new key is never undone'); END;
