-- SPDX-License-Identifier: Apache-2.0
-- The step after schema_8.sql: what the called side of a session may open back, joined by ','; '' in older ones, of which it is not known.

ALTER TABLE session ADD COLUMN caps_back TEXT NOT NULL DEFAULT '' CHECK (length(caps_back) <= 1039);
