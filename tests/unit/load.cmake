oneid_test(NAME test_gen SOURCES test_gen.c USES oneid_gen PkgConfig::JANSSON)
