# emu.cmake - the CUDA sources as C++ for the emulator: a library that only tests link.

enable_language(CXX)
set(emu_sources "")
foreach(file ${cuda_sources})
    get_filename_component(name ${file} NAME_WE)
    set(wrapper ${CMAKE_BINARY_DIR}/gen/emu/${name}.cpp)
    file(CONFIGURE OUTPUT ${wrapper} CONTENT "#include \"kernels/cuda/${name}.cu\"\n" @ONLY)
    list(APPEND emu_sources ${wrapper})
endforeach()

add_library(flags_cxx INTERFACE)
target_include_directories(flags_cxx INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
target_compile_options(flags_cxx INTERFACE
    -std=c++17 -g -O2 -Wall -Wextra -Wshadow -Werror -ffp-contract=fast -fno-math-errno)
if(SANITIZE)
    target_compile_options(flags_cxx INTERFACE
        -fsanitize=${SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()

add_library(emu_kernels OBJECT ${emu_sources})
target_link_libraries(emu_kernels PRIVATE flags_cxx)
target_compile_definitions(emu_kernels PRIVATE KERNEL_SUFFIX=emu REAL_IS_FLOAT)
add_library(emu STATIC ${K}/emu/backend_emu.c $<TARGET_OBJECTS:emu_kernels>)
target_link_libraries(emu PRIVATE flags)
