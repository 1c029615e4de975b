#include "cuda/cublaslt.h"

namespace secondsource::cuda {

std::string CublasLt::describe_status(const SharedLibrary& library, int status) {
  using StatusString = const char* (*)(int);
  const auto status_string = reinterpret_cast<StatusString>(library.find("cublasLtGetStatusString"));
  const char* const text = status_string != nullptr ? status_string(status) : nullptr;
  return text != nullptr ? text : fmt::format("status {}", status);
}

Result<std::string> CublasLt::version(const SharedLibrary& library, Object /*handle*/) {
  using GetVersion = std::size_t (*)();
  const auto get_version = reinterpret_cast<GetVersion>(library.find("cublasLtGetVersion"));
  if (get_version == nullptr) return Error{ErrorCode::kUnavailable, library.name() + " has no cublasLtGetVersion"};
  const std::size_t number = get_version();  // 131000 is 13.10.0
  return fmt::format("{}.{}.{}", number / 10'000, number / 100 % 100, number % 100);
}

std::string CublasLt::describe(const SharedLibrary& library, const Choice& choice) {
  const auto attribute = [&](int which) -> std::string {
    int value = 0;
    std::size_t written = 0;
    if (!library.call(kAlgorithmGet, &choice.algorithm, which, &value, sizeof value, &written)) return "?";
    return std::to_string(value);
  };
  return fmt::format("algo{}_tile{}_stages{}_splitk{}", attribute(kAlgorithmId), attribute(kTile), attribute(kStages),
                     attribute(kSplitK));
}

std::vector<std::string> cublaslt_names(int cuda_major) {
  return {fmt::format("libcublasLt.so.{}", cuda_major)};
}

Result<std::shared_ptr<gpu::LibraryMatmul>> open_cublaslt(const std::vector<std::string>& names) {
  return gpu::LtMatmul<CublasLt>::open(names);
}

}  // namespace secondsource::cuda
