#pragma once
// The control group that this process is in, in both versions of their tree.

#include <string>
#include <string_view>

#include "core/result.h"
#include "measure/host_files.h"

namespace secondsource {

/// A file of this process's group, without trailing white space: `v2_file` in version 2, `v1_file` under `controller`
/// in version 1. Errors: kUnavailable.
Result<std::string> read_cgroup_file(const HostFiles& files, std::string_view controller, const char* v1_file,
                                     const char* v2_file);

}  // namespace secondsource
