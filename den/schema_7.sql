-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_6.sql: entries of the audit may go once they are sealed into a file (seal.c), up to the number that says so.

DROP TRIGGER audit_is_kept;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN old.no > coalesce((SELECT n FROM number WHERE name = 'audit_sealed'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END;
