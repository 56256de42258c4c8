# SPDX-License-Identifier: MIT
# Whole-process measurements of the executable.
foreach(name startup replay)
    add_executable(${name}_bench ${name}_bench.cpp)
    target_link_libraries(${name}_bench PRIVATE mimicsh_flags test_paths)
endforeach()
add_dependencies(startup_bench mimicsh)
add_dependencies(replay_bench mimicsh gen_pcap)

add_executable(prompt_bench prompt_bench.cpp)
target_link_libraries(prompt_bench PRIVATE mimicsh_flags mimicsh_shell)
