-- SPDX-License-Identifier: Apache-2.0
-- Revocations as a list of their own, by serial, by key and by ID: number n is what statement n says.

CREATE TABLE revocation (
    no        INTEGER NOT NULL PRIMARY KEY CHECK (no >= 1),
    -- 1 a serial, 2 a TLS key (the hash of its SPKI), 3 an identity key, 4 admissions below a number
    kind      INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    id        TEXT    NOT NULL CHECK (length(id) BETWEEN 1 AND 15), -- whose it was
    subject   BLOB    NOT NULL CHECK (length(subject) BETWEEN 1 AND 32),
    reason    INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 10),     -- RFC 5280, 5.3.1
    at        INTEGER NOT NULL CHECK (at >= 0),
    statement BLOB,                                                 -- NULL until den has signed it
    sig       BLOB    CHECK (length(sig) = 64),
    CHECK ((statement IS NULL) = (sig IS NULL)),
    UNIQUE (kind, id, subject)
) STRICT;
CREATE INDEX revocation_by_subject ON revocation (kind, subject);
CREATE TRIGGER revocations_stay BEFORE DELETE ON revocation
BEGIN SELECT RAISE(ABORT, 'a revocation is never undone'); END;
CREATE TRIGGER revocations_are_signed_once BEFORE UPDATE ON revocation
WHEN old.statement IS NOT NULL OR new.no <> old.no OR new.kind <> old.kind OR new.id <> old.id OR
     new.subject <> old.subject OR new.reason <> old.reason OR new.at <> old.at
BEGIN SELECT RAISE(ABORT, 'a revocation is never undone'); END;

-- The revocation that a certificate came under first; the list is made in this order.
ALTER TABLE certificate ADD COLUMN revoked_by INTEGER CHECK (revoked_by >= 1);
DROP INDEX certificate_revoked;
INSERT INTO revocation (no, kind, id, subject, reason, at)
    SELECT row_number() OVER (ORDER BY revoked_at, no), 1, id, serial, reason, revoked_at
    FROM certificate WHERE revoked_at IS NOT NULL;
INSERT INTO revocation (no, kind, id, subject, reason, at)
    SELECT (SELECT coalesce(max(no), 0) FROM revocation) + row_number() OVER (ORDER BY revoked_at, id),
           3, id, pk, 0, revoked_at FROM identity WHERE revoked_at IS NOT NULL;
UPDATE certificate SET revoked_by = (SELECT no FROM revocation WHERE kind = 1 AND subject = serial)
    WHERE revoked_at IS NOT NULL;
CREATE INDEX certificate_revoked ON certificate (revoked_by) WHERE revoked_by IS NOT NULL;
CREATE TRIGGER certificate_stays_revoked BEFORE UPDATE OF revoked_at, reason, revoked_by ON certificate
WHEN old.revoked_by IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a revocation is never undone'); END;

CREATE INDEX certificate_by_id ON certificate (id, no);
