-- The members' final state: profiles (sp) and orders (so), ordered by profile, and an
-- inverted table of tags (tp), which some questions are faster on. One statement between semicolons.
DROP TABLE IF EXISTS base_profiles;
DROP TABLE IF EXISTS base_orders;
DROP TABLE IF EXISTS sp;
DROP TABLE IF EXISTS so;
DROP TABLE IF EXISTS tp;
CREATE TABLE base_profiles (pid UInt32, points Int64, city Int16, gender Int8, birth_year Int16, tags Array(UInt16)) ENGINE = MergeTree PARTITION BY tuple() ORDER BY pid;
CREATE TABLE base_orders (pid UInt32, day UInt16, cents Int64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY pid;
CREATE TABLE sp (pid UInt32, points Int64, city Int16, gender Int8, birth_year Int16, tags Array(UInt16)) ENGINE = MergeTree PARTITION BY tuple() ORDER BY pid;
CREATE TABLE so (pid UInt32, day UInt16, cents Int64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY pid;
CREATE TABLE tp (tag UInt16, pid UInt32) ENGINE = MergeTree PARTITION BY tuple() ORDER BY (tag, pid);
