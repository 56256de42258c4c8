# SPDX-License-Identifier: MIT
mimicsh_fuzz_target(vm_program SOURCES vm_program.cpp LIBS mimicsh_vm)
mimicsh_fuzz_target(vm_elf SOURCES vm_elf.cpp vm_exercise.cpp LIBS mimicsh_vm)
# The programs of tests/cases/parity are compiled when these start.
foreach(name hostile mutated)
    mimicsh_fuzz_target(
        vm_${name} SOURCES vm_${name}.cpp vm_chains.cpp vm_exercise.cpp vm_maker.cpp vm_mutate.cpp vm_types.cpp
        LIBS mimicsh_vm test_paths)
endforeach()
