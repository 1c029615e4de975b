// Packed weights in the cache on disk: a second backend reads the bytes that the first one packed, also for a copied or
// touched model, and packs the weights of a changed file again.

#include "backend_kit/weight_cache.h"

#include <filesystem>

#include "bundle/bundle.h"
#include "bundle/named_shape.h"
#include "bundle/synth.h"
#include "core/file.h"
#include "cpu/backend.h"
#include "engine/model_weights.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource::cpu {
namespace {

namespace fs = std::filesystem;

class CachedModel {
 public:
  CachedModel() {
    const auto shape = find_named_shape("small-gqa8-hd64");
    REQUIRE_OK(shape);
    REQUIRE_OK(synthesize_bundle({.name = "m", .source = shape->source, .config_json = shape->config_json}, bundle(),
                                 progress_, interrupt_));
  }
  [[nodiscard]] fs::path bundle() const { return scratch_.path() / "m"; }
  [[nodiscard]] fs::path cache() const { return scratch_.path() / "packed"; }
  [[nodiscard]] std::int64_t n_kept() const { return list_packed_weights(cache()).value().n_files; }

  /// Every weight of the variant as the backend has it, by id.
  std::vector<std::vector<float>> load(const char* variant_name, bool with_cache) {
    CpuBackend backend(two_threads(), with_cache ? std::optional<WeightCache>(cache()) : std::optional<WeightCache>());
    REQUIRE_OK(prepare(backend, variant_name));
    std::vector<std::vector<float>> weights;
    for (std::int32_t id = 0;; ++id) {
      auto weight = backend.unprepare_weight(WeightId{id});
      if (!weight) return weights;
      weights.push_back(std::move(weight).value());
    }
  }

  /// Why the variant does not load through the cache.
  std::string refusal(const char* variant_name) {
    CpuBackend backend(two_threads(), WeightCache(cache()));
    const auto prepared = prepare(backend, variant_name);
    REQUIRE_FALSE(prepared);
    return prepared.error().message;
  }

 private:
  static Options two_threads() {
    BackendOptions options;
    options.n_threads = 2;
    return parse_options(options).value();
  }
  Result<void> prepare(CpuBackend& backend, const char* variant_name) {
    SS_TRY(const Bundle opened, Bundle::open(bundle(), progress_, interrupt_));
    SS_TRY(const Variant variant, variant_from_name(variant_name));
    auto weights =
        prepare_model_weights(backend, opened.config(), opened.tensors(), variant, "m", progress_, interrupt_);
    if (!weights) return weights.error();
    return {};
  }

  test::ScratchFolder scratch_;
  SilentProgress progress_;
  InterruptFlag interrupt_;
};

TEST_CASE("a second start has the same weights out of the cache, whatever the encoding") {
  CachedModel model;
  std::int64_t n_before = 0;
  for (const char* const variant : {"int8", "int8-g32", "int4", "f16", "f32"}) {
    CAPTURE(variant);
    const auto packed = model.load(variant, false);
    REQUIRE(packed.size() > 4);
    CHECK(model.n_kept() == n_before);
    CHECK(model.load(variant, true) == packed);
    CHECK(model.n_kept() > n_before);
    n_before = model.n_kept();
    CHECK(model.load(variant, true) == packed);
    CHECK(model.n_kept() == n_before);
  }
}

TEST_CASE("weights that are packed as they are stored are not kept, because reading them is no faster") {
  CachedModel model;
  CHECK_FALSE(model.load("bf16", true).empty());
  CHECK(model.n_kept() == 0);
}

TEST_CASE("a copied and a touched model find the weights that were kept for the first") {
  CachedModel model;
  const auto packed = model.load("int4", true);
  const std::int64_t n_kept = model.n_kept();
  const fs::path weights = model.bundle() / "model.safetensors";
  const fs::path copy = model.bundle() / "copy";
  fs::copy_file(weights, copy);
  fs::rename(copy, weights);  // changes inode and times
  CHECK(model.load("int4", true) == packed);
  CHECK(model.n_kept() == n_kept);
  fs::last_write_time(weights, fs::file_time_type::clock::now() - std::chrono::hours(7));
  CHECK(model.load("int4", true) == packed);
  CHECK(model.n_kept() == n_kept);
}

TEST_CASE("a weight that is kept is loaded from its file and not packed again") {
  CachedModel model;
  (void)model.load("int4", true);
  const std::int64_t n_kept = model.n_kept();
  for (const auto& item : fs::directory_iterator(model.cache())) {
    if (item.path().extension() != ".weight") continue;
    std::string content = read_file(item.path()).value();
    content.back() = static_cast<char>(content.back() ^ 1);
    REQUIRE_OK(write_file(item.path(), content));
  }
  CHECK(n_kept > 0);
  CHECK(model.refusal("int4").find(".weight: damaged") != std::string::npos);
}

TEST_CASE("a kept weight is used until the model's file changes") {
  CachedModel model;
  const auto packed = model.load("int8", true);
  const std::int64_t n_kept = model.n_kept();
  const fs::path weights = model.bundle() / "model.safetensors";
  std::string content = read_file(weights).value();
  // Changes the low bytes of bf16 values but neither size nor modification time: the inode's change time differs.
  const auto written = fs::last_write_time(weights);
  for (std::size_t i = content.size() / 4 * 2; i < content.size(); i += 2)
    content[i] = static_cast<char>(content[i] ^ 64);
  REQUIRE_OK(write_file(weights, content));
  fs::last_write_time(weights, written);
  const auto changed = model.load("int8", true);
  CHECK(changed != packed);
  CHECK(changed == model.load("int8", false));
  CHECK(model.n_kept() > n_kept);
}

}  // namespace
}  // namespace secondsource::cpu
