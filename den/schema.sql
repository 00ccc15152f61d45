-- SPDX-License-Identifier: Apache-2.0
-- What den remembers: version 1. The version stands in user_version; a change of shape raises it in
-- store_sqlite.c and brings its own migration. Integers are unsigned: instants are milliseconds since
-- 1970. What must never be undone (an ID, a number, an audit entry) is held by a trigger too, so that
-- a slip in the program is an error and not a loss.

CREATE TABLE identity (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 6 AND 9),
    pk         BLOB    NOT NULL UNIQUE CHECK (length(pk) = 32),
    role       TEXT    NOT NULL CHECK (role IN ('peer', 'admin')),
    adm_no     INTEGER NOT NULL CHECK (adm_no >= 0),
    created_at INTEGER NOT NULL CHECK (created_at >= 0),
    revoked_at INTEGER CHECK (revoked_at >= 0)
) STRICT;

CREATE TRIGGER identity_is_for_ever BEFORE DELETE ON identity
BEGIN SELECT RAISE(ABORT, 'an ID is never given up'); END;
CREATE TRIGGER identity_keeps_its_key BEFORE UPDATE OF id, pk ON identity
BEGIN SELECT RAISE(ABORT, 'an ID belongs to one key'); END;
CREATE TRIGGER admission_numbers_rise BEFORE UPDATE OF adm_no ON identity WHEN new.adm_no < old.adm_no
BEGIN SELECT RAISE(ABORT, 'the number of an admission never falls'); END;

-- The public keys of enrolment tokens; the tokens themselves are known to their holders alone.
CREATE TABLE token (
    pk         BLOB    NOT NULL PRIMARY KEY CHECK (length(pk) = 32),
    role       TEXT    NOT NULL CHECK (role IN ('peer', 'admin')),
    uses_left  INTEGER NOT NULL CHECK (uses_left >= 0),
    created_at INTEGER NOT NULL CHECK (created_at >= 0),
    expires_at INTEGER NOT NULL CHECK (expires_at >= 0)  -- 0: never
) STRICT;

-- Who used which token: one key counts once, however often it asks.
CREATE TABLE token_use (
    token_pk    BLOB    NOT NULL REFERENCES token (pk),
    identity_pk BLOB    NOT NULL CHECK (length(identity_pk) = 32),
    at          INTEGER NOT NULL CHECK (at >= 0),
    PRIMARY KEY (token_pk, identity_pk)
) STRICT, WITHOUT ROWID;

-- A row stands before its certificate is signed (der NULL), so that every serial ever drawn is known.
CREATE TABLE certificate (
    no          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    serial      BLOB    NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    id          TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 15),
    spki        BLOB    NOT NULL CHECK (length(spki) = 32),
    der         BLOB,
    reserved_at INTEGER NOT NULL CHECK (reserved_at >= 0),
    not_before  INTEGER NOT NULL DEFAULT 0 CHECK (not_before >= 0),
    not_after   INTEGER NOT NULL DEFAULT 0 CHECK (not_after >= 0),
    revoked_at  INTEGER CHECK (revoked_at >= 0),
    reason      INTEGER NOT NULL DEFAULT 0 CHECK (reason BETWEEN 0 AND 10)
) STRICT;
CREATE INDEX certificate_by_spki ON certificate (spki, no);
CREATE INDEX certificate_revoked ON certificate (revoked_at, no) WHERE revoked_at IS NOT NULL;

CREATE TRIGGER certificate_is_for_ever BEFORE DELETE ON certificate
BEGIN SELECT RAISE(ABORT, 'a serial is never forgotten'); END;
CREATE TRIGGER certificate_is_signed_once BEFORE UPDATE OF serial, id, spki, der ON certificate
WHEN old.der IS NOT NULL OR new.serial <> old.serial OR new.id <> old.id OR new.spki <> old.spki
BEGIN SELECT RAISE(ABORT, 'a serial stands for one certificate'); END;

CREATE TABLE session (
    sid       BLOB    NOT NULL PRIMARY KEY CHECK (length(sid) = 16),
    a_id      TEXT    NOT NULL CHECK (length(a_id) <= 15),
    b_id      TEXT    NOT NULL CHECK (length(b_id) <= 15),
    caps      TEXT    NOT NULL CHECK (length(caps) <= 255),
    state     TEXT    NOT NULL CHECK (length(state) <= 15),
    reason    TEXT    NOT NULL CHECK (length(reason) <= 127),
    opened_at INTEGER NOT NULL CHECK (opened_at >= 0),
    closed_at INTEGER NOT NULL CHECK (closed_at >= 0)  -- 0: not yet
) STRICT;

CREATE TABLE number (
    name TEXT    NOT NULL PRIMARY KEY,
    n    INTEGER NOT NULL CHECK (n >= 0)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER numbers_rise BEFORE UPDATE ON number WHEN new.n < old.n
BEGIN SELECT RAISE(ABORT, 'a number never falls'); END;
CREATE TRIGGER numbers_stay BEFORE DELETE ON number
BEGIN SELECT RAISE(ABORT, 'a number never falls'); END;

CREATE TABLE blob (
    name  TEXT NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE audit (
    no    INTEGER NOT NULL PRIMARY KEY,
    at    INTEGER NOT NULL CHECK (at >= 0),
    bytes BLOB    NOT NULL,
    head  BLOB    NOT NULL CHECK (length(head) = 32)
) STRICT;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
CREATE TRIGGER audit_is_unchanged BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
