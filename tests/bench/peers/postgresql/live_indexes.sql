-- What segment counts want, kept up to date while events come in: ingest with these is another variant.
CREATE INDEX profile_tags ON profile USING gin (tags gin__int_ops);
CREATE INDEX profile_city ON profile(city);
CREATE INDEX profile_points ON profile(points);
CREATE INDEX orders_day ON orders(day, pid) INCLUDE (cents);
