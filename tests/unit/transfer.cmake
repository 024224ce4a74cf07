oneid_test(NAME test_transfer_message SOURCES test_transfer_message.c USES oneid_transfer)
oneid_test(NAME test_transfer SOURCES test_transfer.c transfer_rig.c USES oneid_transfer)
