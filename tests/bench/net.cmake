# SPDX-License-Identifier: MIT
add_executable(gen_pcap gen_pcap.cpp)
target_link_libraries(gen_pcap PRIVATE mimicsh_flags mimicsh_net)
add_executable(pcap_bench pcap_bench.cpp)
target_link_libraries(pcap_bench PRIVATE mimicsh_flags test_paths mimicsh_net)
add_dependencies(pcap_bench gen_pcap)
