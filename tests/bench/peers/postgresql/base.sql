-- One copy of the final state, as it is loaded from files.
DROP TABLE IF EXISTS base_profiles, base_orders;
CREATE UNLOGGED TABLE base_profiles(pid int, points bigint, city smallint, gender smallint, birth_year smallint, tags int[]);
CREATE UNLOGGED TABLE base_orders(pid int, day int, cents bigint);
