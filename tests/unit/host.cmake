oneid_test(NAME test_query_pool SOURCES test_query_pool.c USES oneid_host)
target_include_directories(test_query_pool PRIVATE $<TARGET_PROPERTY:oneid_host,SOURCE_DIR>)
