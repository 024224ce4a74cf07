foreach(subject command request facts)
    oneid_fuzz(NAME fuzz_${subject} CORPUS corpus/${subject} USES oneid_proto oneid_cluster oneid_base)
endforeach()
