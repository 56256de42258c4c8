// SPDX-License-Identifier: MIT
// Capture files for replay: a packet source over PcapReader and one file per verdict.
#include "bindings/capture.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace mimicsh::lua {

Status CaptureSource::next(std::vector<ByteView>& packets, size_t limit) {
    packets.clear();
    times_.clear();
    if (auto done = reader_->read(records_, std::max<size_t>(limit, 1)); !done) {
        is_stopped_ = done.error().code == EINTR;
        return is_stopped_ ? Status{} : done;
    }
    for (const auto& record : records_) {
        packets.push_back(record.data);
        times_.push_back(record.time_ns);
    }
    return {};
}

Expected<std::unique_ptr<VerdictWriter>> VerdictWriter::create(const std::string& folder) {
    std::error_code failure;
    std::filesystem::create_directories(folder, failure);
    if (failure) {
        return errno_error(failure.value(), "replay", "out folder " + folder);
    }
    auto writer = std::make_unique<VerdictWriter>();
    writer->folder_ = folder;
    return writer;
}

Status VerdictWriter::write(uint64_t, std::string_view verdict, ByteView packet) {
    auto file = files_.find(verdict);
    if (file == files_.end()) {
        auto made = net::PcapWriter::create(folder_ + "/" + std::string(verdict) + ".pcap");
        if (!made) {
            return made.error();
        }
        file = files_.emplace(verdict, std::move(*made)).first;
    }
    net::PacketRecord record;
    record.data = packet;
    return file->second->write(record);
}

Status VerdictWriter::close() {
    for (auto& [verdict, file] : files_) {
        if (auto done = file->close(); !done) {
            return done.error();
        }
    }
    return {};
}

} // namespace mimicsh::lua
