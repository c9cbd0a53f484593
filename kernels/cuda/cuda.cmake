# cuda.cmake - the GPU backend, where nvcc is. Programs that can use a GPU link cuda_kernels, which
# is empty in a build without CUDA. -DCUDA=OFF builds without, -DCUDA=ON insists; sanitizers and
# coverage counters do not go together with nvcc.
#
# Machine code for capability 8.0 (runs on all 8.x) and 9.0; PTX of 9.0, which the driver compiles
# for what is newer. A spilled register is an error, as every warning is. nvcc is called directly
# and not as a CMake language: that needs no seconds of probing, and the C compiler goes on linking.
set(CUDA AUTO CACHE STRING "AUTO: with CUDA where nvcc 12 or newer is found; ON; OFF")
set_property(CACHE CUDA PROPERTY STRINGS AUTO ON OFF)
find_program(NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
enable_language(CXX) # nvcc's host compiler
if(NVCC)
    file(REAL_PATH ${NVCC} cuda_root)
    cmake_path(GET cuda_root PARENT_PATH cuda_root)
    cmake_path(GET cuda_root PARENT_PATH cuda_root)
    find_path(CUDA_INCLUDE cublas_v2.h HINTS ${cuda_root}/include)
    find_library(CUDART cudart_static
        HINTS ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/targets/x86_64-linux/lib)
endif()
set(cuda_options -ccbin ${CMAKE_CXX_COMPILER} -std=c++17 -O3 --Werror all-warnings
    -Xcompiler -Wall,-Wextra,-fno-exceptions,-fno-threadsafe-statics # no C++ library to link
    -Xptxas -v,-warn-spills -gencode arch=compute_80,code=sm_80
    -gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90)

# Sets NAME to why this build cannot have CUDA, else to "" and CUDA_VERSION.
function(cuda_missing name)
    set(${name} "" PARENT_SCOPE)
    if(SANITIZE OR COVERAGE)
        set(${name} "sanitizers and coverage do not go together with it" PARENT_SCOPE)
        return()
    elseif(NOT NVCC)
        set(${name} "nvcc is not on the PATH, in CUDA_HOME or in /usr/local/cuda" PARENT_SCOPE)
        return()
    endif()
    # as a whole: nvcc also refuses host compilers that are newer than it knows
    set(probe ${CMAKE_BINARY_DIR}/gen/probe.cu)
    file(CONFIGURE OUTPUT ${probe} CONTENT "#include <cuda_runtime.h>
#if CUDART_VERSION < 12000
#error CUDA 12 or newer is needed
#endif
__global__ void probe() {}
" @ONLY)
    execute_process(COMMAND ${NVCC} ${cuda_options} -c ${probe} -o ${probe}.o
        RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
    if(failed)
        string(REGEX REPLACE "\n.*" "" said "${said}")
        set(${name} "${NVCC} cannot compile a kernel (${failed}): ${said}" PARENT_SCOPE)
        return()
    endif()
    execute_process(COMMAND ${NVCC} --version OUTPUT_VARIABLE said)
    string(REGEX REPLACE ".*release ([0-9.]+).*" "\\1" version "${said}")
    set(CUDA_VERSION ${version} PARENT_SCOPE)
    if(NOT CUDA_INCLUDE OR NOT CUDART)
        set(${name} "cublas_v2.h or libcudart_static.a is not found near ${NVCC}" PARENT_SCOPE)
    endif()
endfunction()

set(WITH_CUDA FALSE)
if(CUDA)
    cuda_missing(why)
    if(NOT why)
        set(WITH_CUDA TRUE)
        message(STATUS "CUDA ${CUDA_VERSION}: ${NVCC}")
    elseif(CUDA STREQUAL "AUTO")
        message(STATUS "building without CUDA: ${why}")
    else()
        message(FATAL_ERROR "CUDA=ON, but ${why}; -DCUDA=AUTO builds without.")
    endif()
endif()

add_library(cuda_kernels INTERFACE)
if(WITH_CUDA)
    set(cuda_objects "")
    foreach(file ${cuda_sources})
        get_filename_component(name ${file} NAME_WE)
        set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
        list(APPEND cuda_objects ${object})
        add_custom_command(OUTPUT ${object}
            COMMAND ${CMAKE_SOURCE_DIR}/cmake/nvcc-quiet ${object}.ptxas ${NVCC} ${cuda_options}
                -DKERNEL_SUFFIX=cuda -DREAL_IS_FLOAT
                -I${CMAKE_SOURCE_DIR} -I${CMAKE_BINARY_DIR}/gen
                -MD -MF ${object}.d -c ${file} -o ${object}
            DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/nvcc-quiet
            DEPFILE ${object}.d COMMENT "nvcc ${name}.cu" VERBATIM)
    endforeach()
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
    add_custom_target(cuda_objects DEPENDS ${cuda_objects})

    file(GLOB cuda_host CONFIGURE_DEPENDS ${K}/cuda/*.c)
    add_library(cuda_static STATIC ${cuda_host} ${cuda_objects})
    set_source_files_properties(${cuda_objects} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    target_include_directories(cuda_static SYSTEM PRIVATE ${CUDA_INCLUDE})
    target_link_libraries(cuda_static PRIVATE flags)
    add_dependencies(cuda_static cuda_objects)
    # named by no one but the weak reference in backend.c, so the linker must be told of it
    target_link_options(cuda_kernels INTERFACE -Wl,--undefined=backend_cuda)
    target_link_libraries(cuda_kernels INTERFACE cuda_static kernels ${CUDART} rt dl)
endif()

# The backend over a fake runtime, in host memory: needs the headers of CUDA, but no nvcc and no GPU,
# so sanitizers check it too.
if(CUDA_INCLUDE)
    add_library(cuda_faked OBJECT
        ${K}/cuda/backend_cuda.c ${K}/cuda/blas.c ${K}/cuda/cuda_devices.c ${K}/core/error.c)
    target_compile_definitions(cuda_faked PRIVATE DRIVER_ANSWER_MS=200
        dlopen=fake_dlopen dlsym=fake_dlsym dlclose=fake_dlclose)
    target_include_directories(cuda_faked SYSTEM PRIVATE ${CUDA_INCLUDE})
    target_link_libraries(cuda_faked PRIVATE flags)
    foreach(test cuda_device_test cuda_memory_test cuda_record_test cuda_blas_test)
        add_executable(${test} ${K}/cuda/test/${test}.c ${K}/cuda/test/fake_cuda.c
            $<TARGET_OBJECTS:cuda_faked>)
        target_include_directories(${test} SYSTEM PRIVATE ${CUDA_INCLUDE})
        target_link_libraries(${test} PRIVATE PkgConfig::CMOCKA flags)
        add_test(NAME ${test} COMMAND ${test})
        set_tests_properties(${test} PROPERTIES TIMEOUT 60)
    endforeach()
endif()

# What is no op and so not in the registry of op_test, on the emulated GPU.
add_executable(bf16_test ${K}/cuda/test/bf16_test.c)
target_link_libraries(bf16_test PRIVATE emu kernels PkgConfig::CMOCKA flags)
add_test(NAME bf16_test COMMAND bf16_test)
