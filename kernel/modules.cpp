// SPDX-License-Identifier: MIT
// Modules as /sys/module shows them.
#include "kernel/modules.h"

#include <cerrno>
#include <filesystem>
#include <fstream>

namespace mimicsh::kernel {

ModuleInfo find_module(const std::string& name) {
    ModuleInfo info{name, false, {}};
    if (name == "vmlinux") {
        info.is_loaded = true;
        std::ifstream release("/proc/sys/kernel/osrelease");
        std::getline(release, info.version);
        return info;
    }
    // Names have no slash: nothing outside the folder is meant.
    const std::filesystem::path folder =
        std::filesystem::path("/sys/module") / std::filesystem::path(name).filename();
    std::error_code failed;
    // Parts of the kernel itself have folders too when they have parameters, but only modules a state.
    info.is_loaded = std::filesystem::exists(folder / "initstate", failed);
    std::ifstream version(folder / "version");
    std::getline(version, info.version);
    return info;
}

Status need_module(const std::string& name) {
    if (find_module(name).is_loaded) {
        return {};
    }
    return Error{ENOENT,
                 "kernel.need",
                 "module '" + name + "' is not loaded",
                 "modprobe " + name + " loads it, where it is installed",
                 {}};
}

} // namespace mimicsh::kernel
