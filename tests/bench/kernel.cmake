# SPDX-License-Identifier: MIT
# The kernel target beside the bare system calls; root.
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
add_executable(kernel_bench kernel_bench.cpp)
target_link_libraries(kernel_bench PRIVATE mimicsh_flags mimicsh_kernel PkgConfig::LIBBPF)
target_compile_definitions(kernel_bench PRIVATE MIMICSH_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                MIMICSH_BINARY_DIR="${CMAKE_BINARY_DIR}")
add_dependencies(kernel_bench mimicsh)
