// SPDX-License-Identifier: MIT
// What would outlive a killed process, written down before it is made, so that `mimicsh --cleanup` can undo
// it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace mimicsh::kernel {

/// One thing that has to be undone: a kind, and fields that name it by id.
struct JournalEntry {
    std::string kind; ///< "clsact", "trace"
    std::map<std::string, uint64_t> fields;
};

/// The file of this process: /run/mimicsh for root, $XDG_RUNTIME_DIR/mimicsh for others, named by pid, start
/// time of the process and the boot's id. It exists while something is to be undone.
class Journal {
  public:
    [[nodiscard]] static Journal& own();
    /// Excludes the other processes of this user for as long as the descriptor is held.
    [[nodiscard]] static Expected<Fd> lock();
    /// The entries of all processes of this user since the machine started, those that were killed too.
    [[nodiscard]] static std::vector<JournalEntry> all();
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// Writes an entry down; only then may the thing be made. Returns the number to take it back with.
    [[nodiscard]] Expected<uint64_t> add(const JournalEntry& entry);
    /// Updates a field of an entry, once its value is known.
    void set(uint64_t number, const std::string& field, uint64_t value);
    /// The thing is gone, or was never made.
    void remove(uint64_t number);

  private:
    Journal() = default;
    [[nodiscard]] Status write();
    std::string path_;
    std::map<uint64_t, JournalEntry> entries_;
    uint64_t last_ = 0;
};

/// Undoes what the journals of dead processes list, and deletes them. Returns a line for each thing undone or
/// found gone, and for what could not be undone. The journals of living processes are left alone.
[[nodiscard]] Expected<std::vector<std::string>> clean_up();

} // namespace mimicsh::kernel
