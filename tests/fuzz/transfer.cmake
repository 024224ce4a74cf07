oneid_fuzz(NAME fuzz_transfer CORPUS corpus/transfer USES oneid_transfer)
