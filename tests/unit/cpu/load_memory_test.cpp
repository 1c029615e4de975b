// Loading a model may need only little memory besides the weights. This test measures the peak of the whole process while it loads a
// synthetic bundle, as the kernel counts it (VmHWM), which includes anonymous memory and mapped pages of files.

#include <fstream>

#include "bundle/bundle.h"
#include "bundle/named_shape.h"
#include "bundle/synth.h"
#include "cpu/backend.h"
#include "engine/model_weights.h"
#include "host/host_files.h"
#include "host/host_usage.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

// A sanitizer's shadow memory counts as well.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace secondsource::cpu {
namespace {

/// Whether memory with the advice MADV_HUGEPAGE can get huge pages.
bool are_huge_pages_offered() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string modes;
  return std::getline(file, modes) && modes.find("[never]") == std::string::npos;
}

std::int64_t huge_page_bytes_of_process() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string word; file >> word;) {
    std::int64_t kib = 0;
    if (word == "AnonHugePages:" && file >> kib) return kib * 1024;
  }
  return 0;
}

TEST_CASE("the peak of memory while loading is at most a tenth more than the weights") {
  const test::ScratchFolder scratch;
  const auto shape = find_named_shape("demo-50m");
  REQUIRE_OK(shape);
  SilentProgress progress;
  const InterruptFlag interrupt;
  REQUIRE_OK(synthesize_bundle({.name = "m", .source = shape->source, .config_json = shape->config_json},
                               scratch.path() / "m", progress, interrupt));
  const auto bundle = Bundle::open(scratch.path() / "m", progress, interrupt);
  REQUIRE_OK(bundle);
  for (const char* const name : {"bf16", "f32", "int8", "int8-g32", "int4"}) {
    CAPTURE(name);
    BackendOptions options;
    options.n_threads = 2;
    const std::unique_ptr<Backend> backend = create(options).value();
    const auto variant = variant_from_name(name);
    REQUIRE_OK(variant);
    REQUIRE(reset_peak_rss());
    const std::int64_t huge_before = huge_page_bytes_of_process();
    const auto before = peak_rss_bytes(HostFiles());
    REQUIRE_OK(before);
    REQUIRE_OK(
        prepare_model_weights(*backend, bundle->config(), bundle->tensors(), *variant, "m", progress, InterruptFlag()));
    const auto peak = peak_rss_bytes(HostFiles());
    REQUIRE_OK(peak);
    const auto weights = static_cast<double>(backend->memory().weights_bytes);
    CHECK(static_cast<double>(*peak - *before) <= 1.10 * weights);
    CHECK(static_cast<double>(*peak - *before) >= 0.90 * weights);  // otherwise it measured nothing
    // The kernel decides how many huge pages there are. The weights have no more than the process, and at least half of those that the
    // process gained while loading.
    const auto huge = backend->memory().huge_weights_bytes;
    REQUIRE(huge.has_value());
    const std::int64_t huge_of_process = huge_page_bytes_of_process();
    CHECK(*huge <= backend->memory().weights_bytes);
    CHECK(*huge <= huge_of_process);
    if (are_huge_pages_offered()) CHECK(*huge >= (huge_of_process - huge_before) / 2);
  }
}

}  // namespace
}  // namespace secondsource::cpu

#endif
