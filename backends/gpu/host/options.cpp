#include <fmt/format.h>

#include "gpu/host/backend.h"

namespace secondsource::gpu {

Result<bool> read_option(const std::string& key, const std::string& value, GpuOptions& options) {
  const auto bad = [&](std::string_view expected) {
    return Error{ErrorCode::kInvalidInput, fmt::format("option {}: expected {}, found {}", key, expected, value)};
  };
  if (key == "graphs" || key == "guards" || key == "fuse" || key == "dependent_launch") {
    if (value != "0" && value != "1") return bad("0 or 1");
    bool& option = key == "graphs"   ? options.use_graphs
                   : key == "guards" ? options.guards
                   : key == "fuse"   ? options.fuse
                                     : options.dependent_launch;
    option = value == "1";
  } else if (key == "tiles") {
    options.tiles.reset();
    for (const MatmulTiles tiles : kAllMatmulTiles) {
      if (value == to_string(tiles)) options.tiles = tiles;
    }
    if (!options.tiles && value != "auto") {
      return bad(
          "auto, 16x64, 64x64, 128x128, wgmma128x128, wgmma128x256, streamk128x256, cluster128x128 or cluster128x256");
    }
  } else if (key == "attention") {
    if (value != "auto" && value != "mma" && value != "wgmma") return bad("auto, mma or wgmma");
    options.prefill.reset();
    if (value != "auto") options.prefill = value == "mma" ? PrefillBy::kWarps : PrefillBy::kWarpgroups;
  } else if (key == "matmul") {
    if (value != "own" && value != "library") return bad("own or library");
    options.matmul = value == "own" ? MatmulBy::kOwn : MatmulBy::kLibrary;
  } else if (key == "matmul_library") {
    if (value.empty()) return bad("a file");
    options.matmul_library = value;
  } else {
    return false;
  }
  return true;
}

Result<void> open_library(GpuOptions& options,
                          const std::function<Result<std::shared_ptr<LibraryMatmul>>(const std::string& file)>& open) {
  if (options.matmul == MatmulBy::kOwn) {
    options.vendor_library_missing = "matmul=own";
    return {};
  }
  auto opened = open(options.matmul_library);
  if (opened) {
    options.vendor_library = std::move(opened).value();
    return {};
  }
  const bool asked_for = options.matmul == MatmulBy::kLibrary || !options.matmul_library.empty();
  if (asked_for) return Error{ErrorCode::kUnavailable, "matmul=library: " + opened.error().message};
  options.vendor_library_missing = opened.error().message;
  return {};
}

}  // namespace secondsource::gpu
