oneid_test(NAME test_replica SOURCES test_replica.c USES oneid_replica)
# These look inside the core: the guards' switches are not part of its contract.
oneid_test(NAME test_replica_sim
    SOURCES test_replica_sim.c replica_sim.c replica_sim_node.c replica_sim_check.c
    USES oneid_fake_replica oneid_replica PkgConfig::RAFT)
target_include_directories(test_replica_sim PRIVATE ${PROJECT_SOURCE_DIR}/node/replica)
foreach(subject guard followers lost)
    oneid_test(NAME test_replica_${subject} SOURCES test_replica_${subject}.c replica_rig.c
        USES oneid_replica PkgConfig::RAFT)
    target_include_directories(test_replica_${subject} PRIVATE ${PROJECT_SOURCE_DIR}/node/replica)
endforeach()
