oneid_test(NAME test_prepare SOURCES test_prepare.c USES oneid_prepare)
oneid_test(NAME test_gather SOURCES test_gather.c USES oneid_gather)
oneid_test(NAME test_gather_segments SOURCES test_gather_segments.c USES oneid_gather)
oneid_test(NAME test_survey SOURCES test_survey.c USES oneid_gather)
oneid_test(NAME test_idcache SOURCES test_idcache.c USES oneid_route)
oneid_test(NAME test_follow SOURCES test_follow.c USES oneid_follow)
oneid_test(NAME test_known SOURCES test_known.c USES oneid_route)
oneid_test(NAME test_errand SOURCES test_errand.c USES oneid_gather)
# Its links and its askers are the test's.
oneid_test(NAME test_shards SOURCES test_shards.c USES oneid_route)
target_include_directories(test_shards PRIVATE $<TARGET_PROPERTY:oneid_route,SOURCE_DIR>)
target_link_options(test_shards PRIVATE -Wl,--wrap=link_send -Wl,--wrap=link_endings
    -Wl,--wrap=link_is_up -Wl,--wrap=tasks_reply)
