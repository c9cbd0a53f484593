# kernels.cmake - one set of sources, several builds: float per instruction set, and double.

set(K ${CMAKE_SOURCE_DIR}/kernels)
file(GLOB core_sources CONFIGURE_DEPENDS ${K}/core/*.c)
file(GLOB op_sources CONFIGURE_DEPENDS ${K}/op/*.c)
file(GLOB cpu_sources CONFIGURE_DEPENDS ${K}/cpu/*.c)

set(ops "")
foreach(file ${op_sources})
    get_filename_component(name ${file} NAME_WE)
    string(APPEND ops "ENTRY(${name})\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/gen/op.def CONTENT "${ops}" @ONLY)

# Numbers must not depend on the optimiser's mood: no fast-math; contraction is on everywhere.
set(kernel_options -ffp-contract=fast -fno-math-errno -fno-trapping-math -fopenmp-simd)

function(kernel_build name suffix real_type)
    add_library(${name} OBJECT ${ARGN})
    target_link_libraries(${name} PRIVATE flags)
    target_compile_definitions(${name} PRIVATE KERNEL_SUFFIX=${suffix} REAL_IS_${real_type})
    target_compile_options(${name} PRIVATE ${kernel_options})
endfunction()

kernel_build(op_f32 f32 FLOAT ${op_sources} ${K}/core/table.c)
kernel_build(op_f64 f64 DOUBLE ${op_sources} ${K}/core/table.c)
kernel_build(cpu_f64 f64 DOUBLE ${cpu_sources})
kernel_build(cpu_v3 v3 FLOAT ${cpu_sources})
kernel_build(cpu_v4 v4 FLOAT ${cpu_sources})
target_compile_options(cpu_v3 PRIVATE -O3 -march=x86-64-v3)
target_compile_options(cpu_v4 PRIVATE -O3 -march=x86-64-v4 -mprefer-vector-width=512)
if(FUZZ) # no input reaches these, and with sanitizers clang takes most of an hour for them
    add_library(unchecked INTERFACE)
    target_compile_options(unchecked INTERFACE -O1 -fno-sanitize=all)
    target_link_libraries(cpu_v3 PRIVATE unchecked)
    target_link_libraries(cpu_v4 PRIVATE unchecked)
endif()

# The same CUDA sources twice: for a GPU where there is an nvcc, and for the emulator of the tests.
file(GLOB cuda_sources CONFIGURE_DEPENDS ${K}/cuda/*.cu)
include(${K}/cuda/cuda.cmake)
include(${K}/emu/emu.cmake)

# Speed measurements, built only by name: cmake --build --preset release --target gemm_bench
file(GLOB benches CONFIGURE_DEPENDS ${K}/bench/*_bench.c)
foreach(file ${benches})
    get_filename_component(name ${file} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${file})
    target_link_libraries(${name} PRIVATE kernels cuda_kernels flags)
    target_compile_options(${name} PRIVATE ${kernel_options})
endforeach()
set(op_shape_sources ${K}/bench/op_shape.c ${K}/test/op_data.c) # test cases, only larger
target_sources(op_bench PRIVATE ${op_shape_sources})

list(REMOVE_ITEM core_sources ${K}/core/table.c)
add_library(kernels STATIC ${core_sources}
    $<TARGET_OBJECTS:op_f32> $<TARGET_OBJECTS:op_f64>
    $<TARGET_OBJECTS:cpu_f64> $<TARGET_OBJECTS:cpu_v3> $<TARGET_OBJECTS:cpu_v4>)
target_link_libraries(kernels PUBLIC flags)
room_tests(kernels kernels)
target_sources(shapes_test PRIVATE ${op_shape_sources})
# Programs that can use a GPU name cuda_kernels themselves: emulator and GPU build define the same
# functions, and most tests then need not wait for nvcc.
target_link_libraries(op_test PRIVATE cuda_kernels)

# Faulty kernels for the test of the checks see `real`, so they are built as kernels are.
kernel_build(fault_f32 f32 FLOAT ${K}/test/fault_kernels.c)
kernel_build(fault_f64 f64 DOUBLE ${K}/test/fault_kernels.c)
target_sources(op_test PRIVATE $<TARGET_OBJECTS:fault_f32> $<TARGET_OBJECTS:fault_f64>)

# The registry again, on the emulated GPU.
file(GLOB op_test_sources CONFIGURE_DEPENDS ${K}/test/op_*.c)
add_executable(emu_op_test ${op_test_sources}
    $<TARGET_OBJECTS:fault_f32> $<TARGET_OBJECTS:fault_f64>)
target_compile_definitions(emu_op_test PRIVATE EMULATED)
target_link_libraries(emu_op_test PRIVATE emu kernels PkgConfig::CMOCKA flags)
add_test(NAME emu_op_test COMMAND emu_op_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(emu_op_test PROPERTIES TIMEOUT 1200)
