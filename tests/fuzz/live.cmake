# The fuzzer of running clusters, see run_live: its peer with good keys and bad intentions.
if(NOT ONEID_FUZZ)
    add_executable(oneid-fuzz-hostile live/hostile.c live/messages.c live/spoil.c live/forge.c
                   ${PROJECT_SOURCE_DIR}/tests/unit/wire_random.c)
    target_include_directories(oneid-fuzz-hostile PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit ${PROJECT_SOURCE_DIR}/node/replica)
    target_link_libraries(oneid-fuzz-hostile PRIVATE oneid_warnings oneid_replica oneid_transfer oneid_proto
                          oneid_proto_generated oneid_cluster oneid_base PkgConfig::RAFT PkgConfig::ZMQ)
endif()

# A short run in every preset; by hand: run_live --minutes 5
if(NOT ONEID_FUZZ)
    find_package(Python3 REQUIRED COMPONENTS Interpreter)
    add_test(NAME test_live_judge COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/live/test_judge.py)
    set_tests_properties(test_live_judge PROPERTIES TIMEOUT 60 LABELS fuzz ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
    add_test(NAME test_live COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/run_live --minutes 0.4 --seed 1)
    set_tests_properties(test_live PROPERTIES TIMEOUT 900 LABELS integration RUN_SERIAL ON
        ENVIRONMENT "ONEID_BIN=${CMAKE_BINARY_DIR}/bin;PYTHONDONTWRITEBYTECODE=1")
endif()
