-- One-ID on PostgreSQL: normalised tables, and one function that takes a batch of events set by set.
-- A batch is one transaction: claimed message ids, identities, merges and profiles stand or fall together.
CREATE EXTENSION IF NOT EXISTS intarray;
DROP TABLE IF EXISTS profile, identity, message, orders, tag_dict, ns_dict CASCADE;
DROP SEQUENCE IF EXISTS pid_seq;
CREATE SEQUENCE pid_seq CACHE 100;
CREATE TABLE ns_dict(id smallint PRIMARY KEY, name text UNIQUE);
INSERT INTO ns_dict VALUES (0,'phone'),(1,'openid'),(2,'tmall'),(3,'douyin'),(4,'jd'),(5,'weibo'),(6,'card');
CREATE TABLE tag_dict(name text PRIMARY KEY, id int UNIQUE GENERATED ALWAYS AS IDENTITY);
-- Room on the page keeps updates of a profile where they are (HOT): no index is touched.
CREATE TABLE profile(pid bigint PRIMARY KEY, points bigint NOT NULL, city text, city_ts bigint, gender text,
  gender_ts bigint, birth_year smallint, birth_ts bigint, tags int[] NOT NULL) WITH (fillfactor=75);
CREATE TABLE identity(val text NOT NULL, pid bigint NOT NULL, ns smallint NOT NULL, PRIMARY KEY(val, ns))
  WITH (fillfactor=90);
CREATE INDEX identity_pid ON identity(pid);
CREATE TABLE message(mid uuid PRIMARY KEY);
CREATE TABLE orders(pid bigint NOT NULL, cents bigint NOT NULL, day int NOT NULL, category text NOT NULL);
CREATE INDEX orders_pid ON orders(pid);

-- Work tables, one set for each connection.
CREATE OR REPLACE FUNCTION ingest_setup() RETURNS void LANGUAGE sql AS $$
  CREATE TEMP TABLE IF NOT EXISTS t_ev(mid uuid, i int, ts bigint, ids jsonb, traits jsonb, tags jsonb,
    points bigint, event jsonb) ON COMMIT DELETE ROWS;
  CREATE TEMP TABLE IF NOT EXISTS t_ei(i int, k int, ns smallint, val text) ON COMMIT DELETE ROWS;
  CREATE TEMP TABLE IF NOT EXISTS t_id(k int, ns smallint, val text, pid bigint) ON COMMIT DELETE ROWS;
$$;

-- `b` is an array of events; `multi` says that other connections ingest as well. Returns how many counted.
-- Temporary tables have no statistics and change size with each batch: the plan is fixed by hand.
CREATE OR REPLACE FUNCTION ingest(b jsonb, multi boolean DEFAULT true) RETURNS int LANGUAGE plpgsql
  SET enable_seqscan=off SET enable_mergejoin=off SET jit=off SET plan_cache_mode=force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  n int; nid int; prev_k int; ra int; rb int;
  pids bigint[]; par int[]; win bigint[]; fin bigint[]; ei record; x bigint;
  losers bigint[] := '{}'; winners bigint[] := '{}'; newn int := 0;
BEGIN
  -- 1. parse, claim message ids (exactly once), keep only the new ones
  WITH p AS MATERIALIZED (
    SELECT r.message_id AS mid, r.o::int AS i, r.ts, r.ids, r.traits, r.tags, (r.add->>'points')::bigint AS points, r.event
    FROM ROWS FROM (jsonb_to_recordset(b) AS (message_id uuid, ts bigint, ids jsonb, traits jsonb, tags jsonb, add jsonb, event jsonb))
         WITH ORDINALITY AS r(message_id, ts, ids, traits, tags, add, event, o)),
  ins AS (INSERT INTO message SELECT DISTINCT mid FROM p ORDER BY mid ON CONFLICT DO NOTHING RETURNING mid)
  INSERT INTO t_ev SELECT DISTINCT ON (p.mid) p.* FROM p JOIN ins USING (mid) ORDER BY p.mid, p.i;
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN RETURN 0; END IF;
  -- 2. identities of the batch
  INSERT INTO t_ei SELECT e.i, dense_rank() OVER (ORDER BY j.value, d.id), d.id, j.value
    FROM t_ev e, jsonb_each_text(e.ids) j, ns_dict d WHERE d.name = j.key;
  INSERT INTO t_id SELECT s.k, s.ns, s.val, (SELECT pid FROM identity y WHERE y.val = s.val AND y.ns = s.ns)
    FROM (SELECT DISTINCT k, ns, val FROM t_ei) s;
  IF multi THEN
    -- lock the profiles touched, in order; the map cannot move under us while they are locked
    PERFORM 1 FROM profile WHERE pid = ANY (ARRAY(SELECT DISTINCT pid FROM t_id WHERE pid IS NOT NULL)) ORDER BY pid FOR UPDATE;
    IF EXISTS (SELECT 1 FROM t_id s WHERE s.pid IS DISTINCT FROM (SELECT pid FROM identity y WHERE y.val = s.val AND y.ns = s.ns)) THEN
      RAISE EXCEPTION 'identity map moved' USING ERRCODE = '40001';
    END IF;
  END IF;
  SELECT array_agg(pid ORDER BY k), count(*) INTO pids, nid FROM t_id;
  -- 3. union-find over the batch: identities of one event, and identities already on one profile
  SELECT array_agg(s) INTO par FROM generate_series(1, nid) s;
  FOR ei IN SELECT i::bigint AS g, k FROM t_ei UNION ALL SELECT -1 - pid, k FROM t_id WHERE pid IS NOT NULL ORDER BY 1, 2 LOOP
    IF ei.g = x THEN
      ra := prev_k; WHILE par[ra] <> ra LOOP ra := par[ra]; END LOOP;
      rb := ei.k;   WHILE par[rb] <> rb LOOP rb := par[rb]; END LOOP;
      IF ra < rb THEN par[rb] := ra; ELSIF rb < ra THEN par[ra] := rb; END IF;
    END IF;
    x := ei.g; prev_k := ei.k;
  END LOOP;
  win := array_fill(NULL::bigint, ARRAY[nid]); fin := win;
  FOR k IN 1..nid LOOP
    ra := k; WHILE par[ra] <> ra LOOP ra := par[ra]; END LOOP;
    par[k] := ra;
    IF pids[k] < win[ra] OR (win[ra] IS NULL AND pids[k] IS NOT NULL) THEN win[ra] := pids[k]; END IF;
  END LOOP;
  FOR k IN 1..nid LOOP
    ra := par[k];
    IF win[ra] IS NULL THEN win[ra] := nextval('pid_seq'); END IF;
    fin[k] := win[ra];
    IF pids[k] IS NULL THEN newn := newn + 1;
    ELSIF pids[k] <> win[ra] THEN losers := losers || pids[k]; winners := winners || win[ra]; END IF;
  END LOOP;
  -- 4. new identities
  IF newn > 0 THEN
    INSERT INTO identity(val, ns, pid) SELECT val, ns, fin[k] FROM t_id WHERE pid IS NULL ORDER BY val, ns ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS nid = ROW_COUNT;
    IF nid <> newn THEN RAISE EXCEPTION 'identity taken' USING ERRCODE = '40001'; END IF;
  END IF;
  -- 5. merges: re-point identities and orders, drop the losers; their values join the aggregation below
  IF losers <> '{}' THEN
    UPDATE identity y SET pid = m.w FROM (SELECT DISTINCT l, w FROM unnest(losers, winners) u(l, w)) m WHERE y.pid = m.l;
    UPDATE orders y SET pid = m.w FROM (SELECT DISTINCT l, w FROM unnest(losers, winners) u(l, w)) m WHERE y.pid = m.l;
  END IF;
  INSERT INTO tag_dict(name) SELECT t FROM (SELECT DISTINCT t FROM t_ev, jsonb_array_elements_text(tags) t) s
    WHERE NOT EXISTS (SELECT 1 FROM tag_dict d WHERE d.name = t) ORDER BY t ON CONFLICT DO NOTHING;
  -- 6. one write per profile
  WITH m AS (SELECT DISTINCT l, w FROM unnest(losers, winners) u(l, w)),
  dead AS (DELETE FROM profile p USING m WHERE p.pid = m.l RETURNING m.w, p.*),
  f AS MATERIALIZED (SELECT e.*, fin[z.k] AS fpid FROM t_ev e JOIN (SELECT i, min(k) AS k FROM t_ei GROUP BY i) z USING (i)),
  c AS (
    SELECT fpid AS pid, points, traits->>'city' AS city, CASE WHEN traits ? 'city' THEN ts END AS city_ts,
           traits->>'gender' AS gender, CASE WHEN traits ? 'gender' THEN ts END AS gender_ts,
           (traits->>'birth_year')::smallint AS birth_year, CASE WHEN traits ? 'birth_year' THEN ts END AS birth_ts,
           CASE WHEN tags = '[]' THEN '{}' ELSE (SELECT array_agg((SELECT id FROM tag_dict d WHERE d.name = t)) FROM jsonb_array_elements_text(tags) t) END AS tags
    FROM f
    UNION ALL SELECT w, points, city, city_ts, gender, gender_ts, birth_year, birth_ts, tags FROM dead),
  a AS (
    SELECT c.pid, sum(points) AS points,
      (array_agg(city ORDER BY city_ts DESC NULLS LAST))[1] AS city, max(city_ts) AS city_ts,
      (array_agg(gender ORDER BY gender_ts DESC NULLS LAST))[1] AS gender, max(gender_ts) AS gender_ts,
      (array_agg(birth_year ORDER BY birth_ts DESC NULLS LAST))[1] AS birth_year, max(birth_ts) AS birth_ts,
      uniq(sort(string_to_array(string_agg(nullif(array_to_string(tags, ','), ''), ','), ',')::int[])) AS tags
    FROM c GROUP BY c.pid),
  o AS (INSERT INTO orders SELECT fpid, round((event->>'amount')::numeric * 100)::bigint, ((ts + 28800000) / 86400000)::int, event->>'category'
        FROM f WHERE event IS NOT NULL)
  INSERT INTO profile AS p SELECT pid, points, city, city_ts, gender, gender_ts, birth_year, birth_ts, coalesce(tags, '{}') FROM a ORDER BY pid
  ON CONFLICT (pid) DO UPDATE SET points = p.points + excluded.points,
    city = CASE WHEN excluded.city_ts > coalesce(p.city_ts, 0) THEN excluded.city ELSE p.city END, city_ts = greatest(p.city_ts, excluded.city_ts),
    gender = CASE WHEN excluded.gender_ts > coalesce(p.gender_ts, 0) THEN excluded.gender ELSE p.gender END, gender_ts = greatest(p.gender_ts, excluded.gender_ts),
    birth_year = CASE WHEN excluded.birth_ts > coalesce(p.birth_ts, 0) THEN excluded.birth_year ELSE p.birth_year END, birth_ts = greatest(p.birth_ts, excluded.birth_ts),
    tags = CASE WHEN excluded.tags = '{}' THEN p.tags ELSE p.tags | excluded.tags END;
  RETURN n;
END $$;
