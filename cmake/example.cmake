# example.cmake - a test that one file adds a mixer: the example of models/README.md, cut out of the
# text, is built beside the other mixers by the rule that collects those, and trained a few steps.

set(example_dir ${CMAKE_BINARY_DIR}/example)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/README.md)
file(READ ${CMAKE_SOURCE_DIR}/models/README.md text)
string(FIND "${text}" "/* mixer_gconv.c - " start)
if(start EQUAL -1)
    message(FATAL_ERROR "models/README.md has no example that begins with /* mixer_gconv.c - ")
endif()
string(SUBSTRING "${text}" ${start} -1 text)
string(FIND "${text}" "```" length)
string(SUBSTRING "${text}" 0 ${length} text)
file(CONFIGURE OUTPUT ${example_dir}/mixer_gconv.c CONTENT "${text}" @ONLY)
registry_of(${example_dir} mixer ${CMAKE_SOURCE_DIR}/models ${example_dir})

# All models are compiled again, with the longer registry; objects come before libraries, so those
# of the library `models` stay out.
file(GLOB example_models CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/*.c)
add_executable(mixgrid_example harness/main.c ${example_models} ${example_dir}/mixer_gconv.c)
target_include_directories(mixgrid_example BEFORE PRIVATE ${example_dir} ${CMAKE_SOURCE_DIR}/models)
target_link_libraries(mixgrid_example PRIVATE harness flags)
add_test(NAME example-mixer COMMAND ${CMAKE_SOURCE_DIR}/models/test/example-mixer
    $<TARGET_FILE:mixgrid_example> $<TARGET_FILE:mixgrid>)
set_tests_properties(example-mixer PROPERTIES TIMEOUT 120)
