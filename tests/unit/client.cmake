foreach(test client client_blocking)
    oneid_test(NAME test_${test} SOURCES test_${test}.c fake_router.c fake_router.h USES oneid_client)
endforeach()
target_link_options(test_client_blocking PRIVATE -Wl,--wrap=endpoint_wait)
oneid_test(NAME test_event_line SOURCES test_event_line.c USES oneid_json)
oneid_test(NAME test_ctl SOURCES test_ctl.c USES oneid_ctl)
oneid_test(NAME test_health SOURCES test_health.c USES oneid_ctl)

# Outsiders build against what is installed.
set(outsider_flags)
if(ONEID_SANITIZE)
    set(outsider_flags -fsanitize=${ONEID_SANITIZE})
endif()
if(NOT ONEID_FUZZ AND NOT ONEID_COVERAGE)
    add_test(NAME test_install COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/test_install.sh
        ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR} ${CMAKE_C_COMPILER} ${outsider_flags})
    set_tests_properties(test_install PROPERTIES TIMEOUT 120)
    add_test(NAME test_cluster_script COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/test_cluster_script.sh
        ${CMAKE_SOURCE_DIR} ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
    set_tests_properties(test_cluster_script PROPERTIES TIMEOUT 300 LABELS integration)
endif()
