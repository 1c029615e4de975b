#pragma once
// The command lines of a container engine, podman or docker, for a server in a rootless container of its own.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/child_process.h"
#include "record/served_system.h"
#include "serving/managed_start.h"

namespace secondsource {

/// Where the model's files are inside the container.
inline constexpr const char* kModelInContainer = "/model";

struct ContainerRun {
  std::string name;  ///< of the container
  std::vector<std::pair<std::string, std::filesystem::path>> model_files;
  StartPlaces places;  ///< as the server sees them
  ChildLimits limits;
};

/// `ENGINE run ...`. The image must already be present. The container uses the host's network, so that there is no
/// proxy between the client and the server, and sees the model's files read-only. It is not removed when it ends, so
/// that the reason can be queried.
[[nodiscard]] std::vector<std::string> container_run(const ManagedStart& managed, const ContainerRun& run);
[[nodiscard]] std::vector<std::string> container_stop(const ManagedStart& managed, const std::string& name);
[[nodiscard]] std::vector<std::string> container_kill(const ManagedStart& managed, const std::string& name);
[[nodiscard]] std::vector<std::string> container_remove(const ManagedStart& managed, const std::string& name);
/// Prints the number of the container's first process, as the host sees it.
[[nodiscard]] std::vector<std::string> container_process(const ManagedStart& managed, const std::string& name);
/// Prints "true" if the kernel killed the container for lack of memory.
[[nodiscard]] std::vector<std::string> container_memory_kill(const ManagedStart& managed, const std::string& name);
[[nodiscard]] std::vector<std::string> engine_version(const ManagedStart& managed);
/// Prints the id of the image; fails if it is not there.
[[nodiscard]] std::vector<std::string> image_id(const ManagedStart& managed);

}  // namespace secondsource
