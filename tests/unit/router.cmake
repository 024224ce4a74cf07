oneid_test(NAME test_prepare SOURCES test_prepare.c USES oneid_prepare)
oneid_test(NAME test_gather SOURCES test_gather.c USES oneid_gather)
oneid_test(NAME test_gather_segments SOURCES test_gather_segments.c USES oneid_gather)
oneid_test(NAME test_idcache SOURCES test_idcache.c USES oneid_route)
