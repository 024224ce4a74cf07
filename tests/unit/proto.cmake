foreach(subject facts trust envelope command_codec reply_codec codec_damage request_codec status_codec)
    oneid_test(NAME test_${subject} SOURCES test_${subject}.c USES oneid_proto oneid_cluster oneid_base)
endforeach()
# This test alone speaks ZeroMQ by itself, to be a stranger that breaks the rules.
oneid_test(NAME test_endpoint SOURCES test_endpoint.c USES oneid_proto oneid_base PkgConfig::ZMQ Threads::Threads)
target_include_directories(test_endpoint PRIVATE $<TARGET_PROPERTY:oneid_proto,SOURCE_DIR>)
oneid_test(NAME test_curve SOURCES test_curve.c wire_proxy.c USES oneid_proto oneid_base Threads::Threads)
# Looks behind the codecs: the direct way, protobuf-c's, and the descriptions of the messages.
oneid_test(NAME test_direct_codec SOURCES test_direct_codec.c wire_random.c USES oneid_proto oneid_proto_generated oneid_cluster oneid_base)
target_include_directories(test_direct_codec PRIVATE $<TARGET_PROPERTY:oneid_proto,SOURCE_DIR>)
