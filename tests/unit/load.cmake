oneid_test(NAME test_gen SOURCES test_gen.c USES oneid_gen PkgConfig::JANSSON)
oneid_test(NAME test_histogram SOURCES test_histogram.c USES oneid_load)
oneid_test(NAME test_load SOURCES test_load.c USES oneid_load oneid_segment)
target_compile_definitions(test_load PRIVATE DEFAULT_CLUSTER_FILE="${CMAKE_SOURCE_DIR}/cluster.yml")
