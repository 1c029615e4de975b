#include "hip/hipblaslt.h"

#include <array>
#include <cstring>

namespace secondsource::hip {

std::string HipblasLt::describe_status(const SharedLibrary& /*library*/, int status) {
  // hipblasStatus_t; the library has no text for it.
  constexpr std::array kTexts = {"success",        "not initialized", "allocation failed",
                                 "invalid value",  "mapping error",   "execution failed",
                                 "internal error", "not supported",   "another architecture"};
  if (status > 0 && static_cast<std::size_t>(status) < kTexts.size()) return kTexts[static_cast<std::size_t>(status)];
  return fmt::format("status {}", status);
}

Result<std::string> HipblasLt::version(const SharedLibrary& library, Object handle) {
  SS_TRY(const int number, library.get<int>(kVersion, handle));  // 1100 is 0.11.0, 100000 is 1.0.0
  const std::string text = fmt::format("{}.{}.{}", number / 100'000, number / 100 % 1'000, number % 100);
  constexpr int kOldest = 600;
  if (number >= kOldest) return text;
  return Error{ErrorCode::kUnavailable, fmt::format("{} is hipBLASLt {}: expected 0.6 or newer", library.name(), text)};
}

std::string HipblasLt::describe(const SharedLibrary& /*library*/, const Choice& choice) {
  int solution = 0;  // hipblaslt_ext::getIndexFromAlgo, which is C++
  std::memcpy(&solution, choice.algorithm.data, sizeof solution);
  return fmt::format("solution{}", solution);
}

std::vector<std::string> hipblaslt_names() {
  return {"libhipblaslt.so.1", "libhipblaslt.so.0"};
}

Result<std::shared_ptr<gpu::LibraryMatmul>> open_hipblaslt(const std::vector<std::string>& names) {
  return gpu::LtMatmul<HipblasLt>::open(names);
}

}  // namespace secondsource::hip
