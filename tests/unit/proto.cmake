foreach(subject facts envelope command_codec request_codec)
    oneid_test(NAME test_${subject} SOURCES test_${subject}.c USES oneid_proto oneid_cluster oneid_base)
endforeach()
# This test alone speaks ZeroMQ by itself, to be a stranger that breaks the rules.
oneid_test(NAME test_endpoint SOURCES test_endpoint.c USES oneid_proto oneid_base PkgConfig::ZMQ Threads::Threads)
target_include_directories(test_endpoint PRIVATE $<TARGET_PROPERTY:oneid_proto,SOURCE_DIR>)
