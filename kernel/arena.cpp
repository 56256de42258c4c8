// SPDX-License-Identifier: MIT
// Arenas of the kernel: where they lie in user space, and bytes to and from their pages.
#include <cerrno>
#include <limits>

#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/errors.h"
#include "kernel/map.h"

namespace mimicsh::kernel {

namespace {

/// The arena's pages in this process, for as long as they are looked at: several arenas may have the same
/// addresses, since only the programs' pointers say which one is meant.
class ArenaWindow {
  public:
    ArenaWindow(int fd, uint64_t address, uint64_t size, int access, int how) : size_(size) {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel wants this very address
        void* wanted = reinterpret_cast<void*>(address);
        memory_ = mmap(wanted, size, access, MAP_SHARED | how, fd, 0);
    }
    ~ArenaWindow() {
        if (is_open()) {
            (void)munmap(memory_, size_);
        }
    }
    ArenaWindow(const ArenaWindow&) = delete;
    ArenaWindow& operator=(const ArenaWindow&) = delete;

    [[nodiscard]] bool is_open() const { return memory_ != MAP_FAILED; }
    [[nodiscard]] uint8_t* data() const { return static_cast<uint8_t*>(memory_); }

  private:
    void* memory_;
    uint64_t size_;
};

} // namespace

/// The first mapping in user space says where an arena lies that was made without an address, and programs
/// do not load before that is said. The vm has it at the same place.
void KernelMap::place_arena(uint64_t wanted) {
    if (info_.type != abi::MapType::Arena) {
        return;
    }
    arena_address_ = wanted;
    if (wanted != 0) {
        return;
    }
    const uint64_t size = uint64_t{info_.max_entries} * abi::kArenaPage;
    const uint64_t usual = abi::arena_address(info_.max_entries);
    if (ArenaWindow(fd(), usual, size, PROT_READ, MAP_FIXED_NOREPLACE).is_open()) {
        arena_address_ = usual;
    } else if (const ArenaWindow anywhere(fd(), 0, size, PROT_READ, 0); anywhere.is_open()) {
        arena_address_ = reinterpret_cast<uintptr_t>(anywhere.data());
    }
}

/// Through the kernel's copy between processes: a page that cannot be had is an error there and no signal.
Status KernelMap::copy_arena(const char* op, uint64_t offset, uint8_t* bytes, size_t size,
                             Direction direction) {
    const uint64_t all = uint64_t{info_.max_entries} * abi::kArenaPage;
    if (offset > all || size > all - offset) {
        return Error{E2BIG,
                     op,
                     info_.name + ": " + std::to_string(size) + " bytes at offset " + std::to_string(offset) +
                         " of " + std::to_string(all),
                     {},
                     {}};
    }
    const int access = direction == Direction::Out ? PROT_READ : PROT_READ | PROT_WRITE; // not if frozen
    const ArenaWindow window(fd(), arena_address_, all, access, MAP_FIXED_NOREPLACE);
    if (!window.is_open()) {
        return errno_error(errno, op, info_.name + ": its addresses");
    }
    for (size_t done = 0; done < size;) {
        const iovec here{bytes + done, size - done};
        const iovec there{window.data() + offset + done, size - done};
        const ssize_t copied = direction == Direction::Out
                                   ? process_vm_readv(getpid(), &here, 1, &there, 1, 0)
                                   : process_vm_writev(getpid(), &here, 1, &there, 1, 0);
        if (copied <= 0) {
            const int code = copied < 0 ? errno : EFAULT;
            return Error{code,
                         op,
                         info_.name + (code == EFAULT ? ": no program has allocated the page at offset " +
                                                            std::to_string((offset + done) &
                                                                           ~uint64_t{abi::kArenaPage - 1})
                                                      : ": " + std::string(strerrordesc_np(code))),
                         {},
                         {}};
        }
        done += static_cast<size_t>(copied);
    }
    return {};
}

Status KernelMap::read_at(uint64_t offset, ByteSpan to) {
    return copy_arena("read", offset, to.data(), to.size(), Direction::Out);
}

Status KernelMap::write_at(uint64_t offset, ByteView from) {
    ByteVec bytes(from.begin(), from.end());
    return copy_arena("write", offset, bytes.data(), bytes.size(), Direction::In);
}

} // namespace mimicsh::kernel
