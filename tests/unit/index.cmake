oneid_test(NAME test_index SOURCES test_index.c index_rig.c USES oneid_index oneid_segment oneid_cluster)
