oneid_test(NAME test_index SOURCES test_index.c index_rig.c USES oneid_index oneid_segment oneid_cluster)
oneid_test(NAME test_index_containers SOURCES test_index_containers.c USES oneid_index)
target_include_directories(test_index_containers PRIVATE $<TARGET_PROPERTY:oneid_index,SOURCE_DIR>)
oneid_test(NAME test_index_random SOURCES test_index_random.c index_model.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster)
target_include_directories(test_index_random PRIVATE $<TARGET_PROPERTY:oneid_index,SOURCE_DIR>)
oneid_test(NAME test_index_save SOURCES test_index_save.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster)
oneid_test(NAME test_index_threads SOURCES test_index_threads.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster Threads::Threads)
oneid_test(NAME test_index_watch SOURCES test_index_watch.c index_model.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster Threads::Threads)
target_include_directories(test_index_watch PRIVATE $<TARGET_PROPERTY:oneid_index,SOURCE_DIR>)
oneid_test(NAME test_index_answers SOURCES test_index_answers.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster)
oneid_test(NAME test_index_days SOURCES test_index_days.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster)
oneid_test(NAME test_index_bounds SOURCES test_index_bounds.c index_rig.c
    USES oneid_index oneid_segment oneid_cluster)
target_include_directories(test_index_bounds PRIVATE $<TARGET_PROPERTY:oneid_index,SOURCE_DIR>)
