#include "bundle/relative_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::size_t kMaxPathBytes = 512;
constexpr std::size_t kMaxPartBytes = 255;  // NAME_MAX of Linux's file systems

/// The reason why the path is refused, or an empty text.
std::string_view fault_of(std::string_view path) {
  if (path.empty()) return "it is empty";
  if (path.size() > kMaxPathBytes) return "it is longer than 512 bytes";
  if (find_invalid_utf8(path)) return "it is not UTF-8";
  const auto is_forbidden = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || c == '\\' || c == ':';
  };
  if (std::any_of(path.begin(), path.end(), is_forbidden)) return "it has a backslash, a colon or a control character";
  if (path.front() == '/') return "it is absolute";
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty()) return "it has an empty part";
    if (part == "." || part == "..") return "it leaves its folder";
    if (part.size() > kMaxPartBytes) return "a part of it is longer than 255 bytes";
    if (slash == std::string_view::npos) return {};
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<void> check_relative_path(std::string_view path, std::string_view name) {
  const std::string_view fault = fault_of(path);
  if (fault.empty()) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a path inside the bundle, found {}: {}", name, in_quotes(path), fault)};
}

Result<std::filesystem::path> resolve_inside(const std::filesystem::path& folder, std::string_view path) {
  SS_TRY_VOID(check_relative_path(path, folder.string()));
  std::error_code error;
  const std::filesystem::path root = std::filesystem::canonical(folder, error);
  if (error)
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected a folder: {}", folder.string(), error.message())};
  const std::filesystem::path file = std::filesystem::canonical(root / path, error);
  if (error) return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: {}", folder.string(), path, error.message())};
  const auto [root_end, file_rest] = std::mismatch(root.begin(), root.end(), file.begin(), file.end());
  if (root_end != root.end()) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected a file inside the bundle, found a link to {}",
                                                       folder.string(), path, file.string())};
  }
  if (!std::filesystem::is_regular_file(file, error)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: {}: expected a file", folder.string(), path)};
  }
  return file;
}

}  // namespace secondsource
