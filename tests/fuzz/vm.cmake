# SPDX-License-Identifier: MIT
mimicsh_fuzz_target(vm_program SOURCES vm_program.cpp LIBS mimicsh_vm)
