foreach(name arena bytes clock decimal error logger pages rng)
    oneid_test(NAME test_${name} SOURCES test_${name}.c USES oneid_base)
endforeach()
