# emu.cmake - the CUDA sources as C++ for the emulator: a library that only tests link.

enable_language(CXX)
# What switches stacks must not be instrumented: flags_bare.
add_library(flags_bare INTERFACE)
target_include_directories(flags_bare INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
target_compile_options(flags_bare INTERFACE
    -std=c++17 -g -O2 -march=x86-64-v3 -Wall -Wextra -Wshadow -Wno-unknown-pragmas -Werror
    -ffp-contract=fast -fno-math-errno -fno-strict-aliasing -fno-exceptions -fno-rtti)
add_library(flags_cxx INTERFACE)
target_link_libraries(flags_cxx INTERFACE flags_bare)
if(SANITIZE)
    target_compile_options(flags_cxx INTERFACE
        -fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

# emu_wrappers(OUT FILE...): one .cpp per .cu, as g++ goes by the name.
function(emu_wrappers out)
    set(wrappers "")
    foreach(file ${ARGN})
        get_filename_component(name ${file} NAME_WE)
        set(wrapper ${CMAKE_BINARY_DIR}/gen/emu/${name}.cpp)
        file(RELATIVE_PATH source ${CMAKE_SOURCE_DIR} ${file})
        file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"${source}\"\n" @ONLY)
        list(APPEND wrappers ${wrapper})
    endforeach()
    set(${out} ${wrappers} PARENT_SCOPE)
endfunction()

add_library(emu_machine OBJECT ${K}/emu/emu_fiber.cpp ${K}/emu/emu_grid.cpp)
target_link_libraries(emu_machine PRIVATE flags_bare)
if(SANITIZE MATCHES address) # it must tell them of the switches
    target_compile_definitions(emu_machine PRIVATE EMU_ASAN)
elseif(SANITIZE MATCHES thread)
    target_compile_definitions(emu_machine PRIVATE EMU_TSAN)
endif()

emu_wrappers(emu_sources ${cuda_sources})
add_library(emu_kernels OBJECT ${emu_sources})
target_link_libraries(emu_kernels PRIVATE flags_cxx)
target_compile_definitions(emu_kernels PRIVATE KERNEL_SUFFIX=emu REAL_IS_FLOAT)

add_library(emu STATIC ${K}/emu/backend_emu.c ${K}/emu/emu_memory.c ${K}/emu/emu_queue.c
    $<TARGET_OBJECTS:emu_machine> $<TARGET_OBJECTS:emu_kernels>)
target_link_libraries(emu PRIVATE flags)

# The emulator's own tests: kernels with planted faults.
emu_wrappers(emu_fault_sources ${K}/emu/test/emu_faults.cu)
add_library(emu_faults OBJECT ${emu_fault_sources})
target_link_libraries(emu_faults PRIVATE flags_cxx)
target_compile_definitions(emu_faults PRIVATE KERNEL_SUFFIX=emu REAL_IS_FLOAT)
add_executable(emu_test ${K}/emu/test/emu_test.c $<TARGET_OBJECTS:emu_faults>)
target_link_libraries(emu_test PRIVATE emu kernels PkgConfig::CMOCKA flags)
add_test(NAME emu_test COMMAND emu_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(emu_test PROPERTIES TIMEOUT 600)

# ThreadSanitizer makes a thread 30 times slower, so there two small cases of each op stand for all;
# the test preset leaves emu_op_test out. TSan of gcc 12 cannot live with every address layout.
if(SANITIZE MATCHES thread)
    execute_process(COMMAND setarch -R true RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    set(launcher "")
    if(failed STREQUAL "0")
        set(launcher setarch -R)
    endif()
    foreach(file ${op_sources})
        get_filename_component(name ${file} NAME_WE)
        foreach(case 0 1)
            add_test(NAME emu_tsan_${name}_${case} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
                COMMAND ${launcher} $<TARGET_FILE:emu_op_test> ${name} ${case})
        endforeach()
    endforeach()
endif()
