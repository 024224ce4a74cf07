-- The members' final state for the segment questions: sp (profiles), so (orders), their numbers instead of
-- texts, and the index that each question wants. base_* hold one copy; :copies of it make the members, each
-- copy under its own permutation of numbers (:n profiles; i * n + pid * m mod n, with m prime to n).
CREATE EXTENSION IF NOT EXISTS intarray;
DROP TABLE IF EXISTS sp, so;
CREATE TABLE sp(pid int, points bigint, city smallint, gender smallint, birth_year smallint, tags int[]);
CREATE TABLE so(pid int, day int, cents bigint);
INSERT INTO sp SELECT (c.i - 1) * :n + (pid::bigint * c.m) % :n, points, city, gender, birth_year, tags
  FROM unnest(:'multipliers'::bigint[]) WITH ORDINALITY AS c(m, i), base_profiles;
INSERT INTO so SELECT (c.i - 1) * :n + (pid::bigint * c.m) % :n, day, cents
  FROM unnest(:'multipliers'::bigint[]) WITH ORDINALITY AS c(m, i), base_orders;
CREATE UNIQUE INDEX ON sp(pid);
CREATE INDEX ON sp USING gin(tags gin__int_ops);
CREATE INDEX ON sp(city);
CREATE INDEX ON sp(points);
CREATE INDEX ON so(day, pid) INCLUDE (cents);
CREATE INDEX ON so(pid, day) INCLUDE (cents);
VACUUM ANALYZE sp;
VACUUM ANALYZE so;
CHECKPOINT;
