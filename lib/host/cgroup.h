#pragma once
// Reads files of the control group of this process, in both versions of cgroups.

#include <string>
#include <string_view>

#include "core/result.h"
#include "host/host_files.h"

namespace secondsource {

/// Reads a file of this process's group, without trailing white space: `v2_file` in version 2, `v1_file` under
/// `controller` in version 1. Errors: kUnavailable.
Result<std::string> read_cgroup_file(const HostFiles& files, std::string_view controller, const char* v1_file,
                                     const char* v2_file);

}  // namespace secondsource
