oneid_fuzz(NAME fuzz_config CORPUS corpus/config USES oneid_cluster)
