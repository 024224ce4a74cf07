oneid_test(NAME test_transfer_message SOURCES test_transfer_message.c USES oneid_transfer)
oneid_test(NAME test_transfer SOURCES test_transfer.c transfer_rig.c USES oneid_transfer)
oneid_test(NAME test_transfer_thread SOURCES test_transfer_thread.c USES oneid_host)
target_include_directories(test_transfer_thread PRIVATE $<TARGET_PROPERTY:oneid_host,SOURCE_DIR>)
