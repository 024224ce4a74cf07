oneid_fuzz(NAME fuzz_placement CORPUS corpus/placement USES oneid_cluster)
