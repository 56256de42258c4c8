# SPDX-License-Identifier: MIT
# The kernel target beside the bare system calls; root.
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf)
add_executable(kernel_bench kernel_bench.cpp)
target_link_libraries(kernel_bench PRIVATE mimicsh_flags test_paths mimicsh_kernel PkgConfig::LIBBPF)
add_dependencies(kernel_bench mimicsh)
