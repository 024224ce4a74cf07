# oneid_layer(NAME HEADERS ... SOURCES ... USES ... OWNS ...)
# One folder = one static library with its own include root (<folder>/include). USES are the layers
# below it; only what is linked can be included, so reaching up a layer fails to compile.
# OWNS are external libraries that this folder alone may touch: they are linked privately.
function(oneid_layer name)
    cmake_parse_arguments(L "" "" "HEADERS;SOURCES;USES;OWNS" ${ARGN})
    add_library(oneid_${name} STATIC ${L_SOURCES})
    target_sources(oneid_${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${L_HEADERS})
    target_link_libraries(oneid_${name} PRIVATE oneid_warnings ${L_OWNS} PUBLIC ${L_USES})
endfunction()
