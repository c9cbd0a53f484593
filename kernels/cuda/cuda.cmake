# cuda.cmake - the GPU backend, where nvcc is. -DCUDA=OFF builds without it.
set(CUDA AUTO CACHE STRING "AUTO: with CUDA where nvcc is found; ON; OFF")
set(WITH_CUDA FALSE)
