-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_5.sql: what the end that closes a session reports of it.

ALTER TABLE session ADD COLUMN path TEXT NOT NULL DEFAULT '' CHECK (length(path) <= 63);
ALTER TABLE session ADD COLUMN a_sent INTEGER NOT NULL DEFAULT 0 CHECK (a_sent >= 0); -- bytes, by the caller
ALTER TABLE session ADD COLUMN b_sent INTEGER NOT NULL DEFAULT 0 CHECK (b_sent >= 0); -- by the called
