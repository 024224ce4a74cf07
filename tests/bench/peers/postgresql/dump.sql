-- Every profile as one canonical line (lib/truth.py).
COPY (SELECT concat_ws('|',
  (SELECT string_agg(d.name||':'||i.val, ',' ORDER BY (d.name||':'||i.val) COLLATE "C")
     FROM identity i JOIN ns_dict d ON d.id = i.ns WHERE i.pid = p.pid),
  points, coalesce(city,''), coalesce(gender,''), coalesce(birth_year::text,''),
  coalesce((SELECT string_agg(t::text, ',' ORDER BY t)
     FROM (SELECT substr(name,2)::int t FROM tag_dict WHERE id = ANY (p.tags)) s), ''),
  (SELECT count(*) FROM orders o WHERE o.pid = p.pid),
  (SELECT coalesce(sum(cents),0) FROM orders o WHERE o.pid = p.pid))
FROM profile p) TO STDOUT;
