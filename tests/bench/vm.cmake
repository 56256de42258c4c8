# SPDX-License-Identifier: MIT
# The interpreter against native code. The native half is built by clang without vectorisation, from the same source.
find_program(MIMICSH_BENCH_CLANG NAMES clang-14 clang)
set(native ${CMAKE_CURRENT_BINARY_DIR}/programs_native.o)
add_custom_command(
    OUTPUT ${native}
    COMMAND ${MIMICSH_BENCH_CLANG} -O2 -fno-vectorize -fno-slp-vectorize -DMIMICSH_NATIVE -c
            ${CMAKE_CURRENT_SOURCE_DIR}/programs.bpf.c -o ${native}
    DEPENDS programs.bpf.c programs.h)
add_executable(interp_bench interp_bench.cpp ${native})
target_link_libraries(interp_bench PRIVATE mimicsh_flags test_paths mimicsh_vm)
