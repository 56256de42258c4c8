# SPDX-License-Identifier: MIT
mimicsh_fuzz_target(pcap SOURCES net_capture.cpp LIBS mimicsh_net)
mimicsh_fuzz_target(pcapng SOURCES net_capture.cpp LIBS mimicsh_net)
mimicsh_fuzz_target(dissect SOURCES net_dissect.cpp LIBS mimicsh_net)
