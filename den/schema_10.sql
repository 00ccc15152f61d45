-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_9.sql: what the called side of a session accepted of `caps`, joined by ','; '' where it did not (yet), and in older
-- ones. And which groups machines were in when the audit was sealed into files up to there: what stays of it has the changes since.

ALTER TABLE session ADD COLUMN caps_accepted TEXT NOT NULL DEFAULT '' CHECK (length(caps_accepted) <= 255);

CREATE TABLE sealed_groups (
    id TEXT PRIMARY KEY,
    groups TEXT NOT NULL -- joined by ','
) STRICT, WITHOUT ROWID;
