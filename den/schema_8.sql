-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_7.sql: when a session ends at the latest, by policy or by the one who was called.

ALTER TABLE session ADD COLUMN ends_at INTEGER NOT NULL DEFAULT 0 CHECK (ends_at >= 0); -- 0: whenever
