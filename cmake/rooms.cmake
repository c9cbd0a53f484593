# rooms.cmake - how a room of the tree becomes a library, its tests, and its generated lists.

option(COVERAGE "build with gcov counters" OFF)
option(FUZZ "link X_fuzz.c with libFuzzer; needs clang" OFF)
set(SANITIZE "" CACHE STRING "value of -fsanitize=, empty for none")

add_library(flags INTERFACE)
target_compile_features(flags INTERFACE c_std_17)
target_include_directories(flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
target_compile_definitions(flags INTERFACE _GNU_SOURCE)
target_compile_options(flags INTERFACE
    -std=c17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Werror -g
    -include ${CMAKE_SOURCE_DIR}/kernels/core/banned.h)
if(SANITIZE) # the value may hold a comma, which generator expressions cannot
    target_compile_options(flags INTERFACE
        -fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(flags INTERFACE -fsanitize=${SANITIZE})
endif()
if(COVERAGE)
    target_compile_options(flags INTERFACE --coverage)
    target_link_options(flags INTERFACE --coverage)
endif()
if(CMAKE_C_COMPILER_ID MATCHES Clang) # for the fuzzers; warnings are asked of gcc
    target_compile_options(flags INTERFACE -w -Wno-pass-failed)
endif()
target_link_libraries(flags INTERFACE m Threads::Threads)

# registry_of(GEN KIND FOLDER...): FOLDER/KIND_*.c -> GEN/KIND.def with one line ENTRY(name) per file.
function(registry_of gen kind)
    set(names "")
    foreach(folder ${ARGN})
        file(GLOB files CONFIGURE_DEPENDS RELATIVE ${folder} ${folder}/${kind}_*.c)
        list(APPEND names ${files})
    endforeach()
    list(SORT names)
    set(text "")
    foreach(file ${names})
        string(REGEX REPLACE "^${kind}_(.*)\\.c$" "\\1" name ${file})
        string(APPEND text "ENTRY(${name})\n")
    endforeach()
    file(CONFIGURE OUTPUT ${gen}/${kind}.def CONTENT "${text}" @ONLY)
endfunction()

# registry(ROOM KIND): the same for one room.
function(registry room kind)
    registry_of(${CMAKE_BINARY_DIR}/gen ${kind} ${CMAKE_SOURCE_DIR}/${room})
endfunction()

# room(NAME LIBRARY...): NAME/*.c but main.c -> library NAME; NAME/test/X_test.c -> test X.
function(room name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PUBLIC ${ARGN} PRIVATE flags)
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE ${ARGN})
    endif()
    if(FUZZ AND sources)
        # Without trace-cmp: the dictionaries know the words, and it takes a third of the time.
        target_compile_options(${name} PRIVATE -fsanitize-coverage=inline-8bit-counters,pc-table)
    endif()
    room_tests(${name} ${name})
    room_fuzzers(${name})
endfunction()

# Beside X_test.c, sources X_*.c are its helpers.
function(room_tests name)
    file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/test/*_test.c)
    foreach(test ${tests})
        get_filename_component(base ${test} NAME_WE)
        string(REGEX REPLACE "_test$" "" stem ${base})
        file(GLOB helpers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/test/${stem}_*.c)
        list(FILTER helpers EXCLUDE REGEX "_(test|fuzz)\\.c$")
        add_executable(${base} ${test} ${helpers})
        target_link_libraries(${base} PRIVATE ${ARGN} PkgConfig::CMOCKA flags)
        add_test(NAME ${base} COMMAND ${base} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(${base} PROPERTIES TIMEOUT 600)
    endforeach()
endfunction()

# NAME/test/X_fuzz.c -> X_fuzz, a target of libFuzzer, or with FUZZ=OFF of a driver that takes the
# same options. As a test it runs its corpus, the files of NAME/test/X_fuzz, and some mutations.
add_custom_target(fuzzers)
function(room_fuzzers name)
    file(GLOB targets CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/test/*_fuzz.c)
    foreach(target ${targets})
        get_filename_component(base ${target} NAME_WE)
        add_executable(${base} ${target})
        add_dependencies(fuzzers ${base})
        target_link_libraries(${base} PRIVATE ${name} flags)
        if(FUZZ)
            target_link_options(${base} PRIVATE -fsanitize=fuzzer)
        else()
            target_sources(${base} PRIVATE ${CMAKE_SOURCE_DIR}/kernels/test/fuzz_driver.c)
        endif()
        set(runs 4000)
        if(base MATCHES "^(grid|override|journal|query|experiment|spec)_") # milliseconds each
            set(runs 500)
        endif()
        add_test(NAME ${base}
            COMMAND ${base} -runs=${runs} -seed=1 -timeout=20 -dict=${name}/test/${base}.dict
                ${name}/test/${base}
            WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
        set_tests_properties(${base} PROPERTIES TIMEOUT 600)
    endforeach()
endfunction()
