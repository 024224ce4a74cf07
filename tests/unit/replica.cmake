oneid_test(NAME test_replica SOURCES test_replica.c USES oneid_replica)
