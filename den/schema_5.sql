-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_4.sql: which manifest each machine has acknowledged, and new signatures under
-- what was said before, for when den's signing key changes.

ALTER TABLE identity ADD COLUMN manifest_no INTEGER NOT NULL DEFAULT 0 CHECK (manifest_no >= 0); -- 0: none yet
ALTER TABLE identity ADD COLUMN manifest_at INTEGER NOT NULL DEFAULT 0 CHECK (manifest_at >= 0);
CREATE TRIGGER acknowledgements_rise BEFORE UPDATE OF manifest_no ON identity WHEN new.manifest_no < old.manifest_no
BEGIN SELECT RAISE(ABORT, 'the number of a manifest never falls'); END;

DROP TRIGGER revocations_are_signed_once;
CREATE TRIGGER revocations_are_said_once BEFORE UPDATE ON revocation
WHEN (old.statement IS NOT NULL AND new.statement IS NOT old.statement) OR (old.sig IS NOT NULL AND new.sig IS NULL) OR
     new.no <> old.no OR new.kind <> old.kind OR new.id <> old.id OR
     new.subject <> old.subject OR new.reason <> old.reason OR new.at <> old.at
BEGIN SELECT RAISE(ABORT, 'a revocation is never undone'); END;
CREATE TRIGGER rekeys_are_said_once BEFORE UPDATE OF id, rekey_no, old_pk, new_pk, statement ON rekey
BEGIN SELECT RAISE(ABORT, 'a new key is never undone'); END;
