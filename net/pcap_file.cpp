// SPDX-License-Identifier: MIT
// Opening capture files; the formats are in pcap_parse.cpp and pcapng_parse.cpp.
#include "net/pcap_file.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/pcap_parse.h"

namespace mimicsh::net {

PcapReader::PcapReader(std::unique_ptr<PcapParser> parser) : parser_(std::move(parser)) {}
PcapReader::~PcapReader() = default;

Expected<std::unique_ptr<PcapReader>> PcapReader::open(const std::string& path,
                                                       const std::atomic<bool>* stop) {
    bool is_stdin = path == "-";
    // With a stop flag the wait for the writer of a named pipe is BlockInput's, not that of open(2).
    const int flags = O_RDONLY | O_CLOEXEC | (stop != nullptr ? O_NONBLOCK : 0);
    Fd fd(is_stdin ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : ::open(path.c_str(), flags));
    if (!fd.valid()) {
        return errno_error(errno, "open capture", is_stdin ? "standard input" : path);
    }
    return from_fd(std::move(fd), is_stdin ? "standard input" : path, stop);
}

Expected<std::unique_ptr<PcapReader>> PcapReader::from_fd(Fd fd, std::string name,
                                                          const std::atomic<bool>* stop) {
    auto parser = make_pcap_parser(BlockInput(std::move(fd), std::move(name), stop));
    if (!parser) {
        return parser.error();
    }
    return std::unique_ptr<PcapReader>(new PcapReader(*std::move(parser)));
}

Expected<std::unique_ptr<PcapReader>> PcapReader::from_bytes(ByteView bytes, std::string name) {
    auto parser = make_pcap_parser(BlockInput(bytes, std::move(name)));
    if (!parser) {
        return parser.error();
    }
    return std::unique_ptr<PcapReader>(new PcapReader(*std::move(parser)));
}

Status PcapReader::read(std::vector<PacketRecord>& records, size_t limit) {
    records.clear();
    return parser_->read(records, limit);
}

bool PcapReader::is_pcapng() const {
    return parser_->is_pcapng();
}
const std::vector<CaptureInterface>& PcapReader::interfaces() const {
    return parser_->interfaces;
}
uint64_t PcapReader::position() const {
    return parser_->input.position();
}
uint64_t PcapReader::file_size() const {
    return parser_->input.file_size();
}

} // namespace mimicsh::net
