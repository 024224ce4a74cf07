oneid_test(NAME test_memtable SOURCES test_memtable.c USES oneid_store)
target_include_directories(test_memtable PRIVATE $<TARGET_PROPERTY:oneid_store,SOURCE_DIR>)
oneid_test(NAME test_store SOURCES test_store.c USES oneid_store)
