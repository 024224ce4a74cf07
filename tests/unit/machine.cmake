foreach(subject apply check damage dedup map merge random segments watches)
    oneid_test(NAME test_machine_${subject} SOURCES test_machine_${subject}.c machine_rig.c
        USES oneid_machine)
endforeach()
