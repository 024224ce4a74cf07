oneid_fuzz(NAME fuzz_segment CORPUS corpus/segment USES oneid_segment)
