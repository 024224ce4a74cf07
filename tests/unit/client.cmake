oneid_test(NAME test_client SOURCES test_client.c fake_router.c fake_router.h USES oneid_client)
