foreach(subject facts envelope command_codec)
    oneid_test(NAME test_${subject} SOURCES test_${subject}.c USES oneid_proto oneid_cluster oneid_base)
endforeach()
