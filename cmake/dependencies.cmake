# External libraries. Each has one owner folder (docs/architecture.md); nothing else links it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
# raft_step() appeared and changed ownership rules between releases; Debian 12's own 0.15 lacks
# safety fixes. node/replica pins the exact release with a static assertion as well.
pkg_check_modules(RAFT REQUIRED IMPORTED_TARGET raft>=0.22.1)
find_program(PROTOC_C protoc-c REQUIRED)
