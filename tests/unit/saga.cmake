oneid_test(NAME test_saga_ingest SOURCES test_saga_ingest.c USES oneid_saga)
oneid_test(NAME test_saga_read SOURCES test_saga_read.c USES oneid_saga)
oneid_test(NAME test_saga_sweep SOURCES test_saga_sweep.c USES oneid_saga)
