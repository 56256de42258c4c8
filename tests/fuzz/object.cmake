# SPDX-License-Identifier: MIT
# Parsers of object/.
mimicsh_fuzz_target(elf SOURCES object_elf.cpp LIBS mimicsh_object)
mimicsh_fuzz_target(btf SOURCES object_btf.cpp LIBS mimicsh_object)
mimicsh_fuzz_target(asm SOURCES object_asm.cpp LIBS mimicsh_object)
mimicsh_fuzz_target(raw SOURCES object_raw.cpp LIBS mimicsh_object)
