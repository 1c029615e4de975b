// Tests the names and counts of `secondsource profile`. The times of such a small model have no meaning, but its work
// follows from the model's shape.

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "expectations.h"
#include "support/bundles.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun profile(std::vector<std::string> flags) {
  std::vector<std::string> arguments = {"profile", kTinyBundle,  "--backend",     "cpu",      "--variant",
                                        "bf16",    "--scenario", "offline:2@8/3", "--budget", "0.01s"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  return run_program(arguments);
}

/// True on a CPU with AMX. Linux may deny AMX to this process, and then its peak rate is unknown and there are no shares of the peak.
bool has_unmeasured_units() {
  std::ifstream file("/proc/cpuinfo");
  return contains(std::string(std::istreambuf_iterator<char>(file), {}), "amx_tile");
}

}  // namespace

TEST_CASE("profile: names operations, shapes and kernels, and what is outside of them") {
  const ProgramRun run = profile({});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(contains(run.out, "attention"));
  CHECK(contains(run.out, "assemble the batch"));
  CHECK(contains(run.out, "is the engine's own"));
  CHECK(contains(run.out, "of the limit"));
  CHECK_FALSE(contains(run.out, "layers.1"));
  CHECK(contains(profile({"--layers"}).out, "layers.1"));
  check_refused(run_program({"profile", kTinyBundle, "--scenario", "single-stream"}), "with its lengths");
}

TEST_CASE("profile: the JSON has the work of each operation, every layer and every gap") {
  const ProgramRun run = profile({"--json"});
  CAPTURE(run.out, run.err);
  REQUIRE(run.status == 0);
  const nlohmann::json json = nlohmann::json::parse(run.out);
  // A batch has two requests. Each gets its first token from prefill and two more from decode steps.
  const auto n_batches = json.at("n_requests").get<std::int64_t>() / 2;
  bool has_head = false;
  for (const nlohmann::json& operation : json.at("operations")) {
    if (operation.at("phase") != "decode" || operation.at("shape") != "2 x 48 -> 512") continue;
    has_head = true;
    CHECK(operation.at("n_calls") == 2 * n_batches);
    CHECK(operation.at("flops").get<double>() == Approx(2.0 * 48 * 512 * 2));           // per request
    CHECK(operation.at("bytes_read").get<double>() == Approx(2.0 * 48 * 512 * 2 / 2));  // two requests share each step
    if (has_unmeasured_units()) continue;
    REQUIRE_FALSE(operation.at("of_limit").is_null());
    CHECK(operation.at("of_limit").at("share").get<double>() > 0);
  }
  CHECK(has_head);
  std::set<std::string> layers;
  double layers_s = 0;
  for (const nlohmann::json& layer : json.at("layers")) {
    if (layer.at("phase") != "decode") continue;
    CHECK(layers.insert(layer.at("layer").get<std::string>()).second);
    layers_s += layer.at("seconds").get<double>();
  }
  CHECK(layers.contains("embedding"));
  CHECK(layers.contains("layers.0"));
  CHECK(layers.contains("layers.1"));
  CHECK(layers.contains("head"));
  CHECK_FALSE(layers.contains("layers.2"));
  CHECK(layers_s > 0);
  std::vector<std::string> parts;
  for (const nlohmann::json& gap : json.at("gaps")) {
    if (gap.at("phase") == "decode") parts.push_back(gap.at("part").get<std::string>());
  }
  CHECK(parts == std::vector<std::string>{"assemble the batch", "submit and wait", "between operations",
                                          "results to events", "text"});
  CHECK(json.at("engine_share_of_decode").get<double>() > 0);
  CHECK(json.at("engine_share_of_decode").get<double>() < 1);
}

TEST_CASE("profile: a planted fault is told on stderr and in the JSON") {
  const ProgramRun faulty = profile({"--json", "--fault", "cpu=slow:400:matmul"});
  CAPTURE(faulty.out, faulty.err);
  REQUIRE(faulty.status == 0);
  CHECK(contains(faulty.err, "cpu: a fault was planted on purpose: slow:400:matmul"));
  CHECK(nlohmann::json::parse(faulty.out).at("fault") == "slow:400:matmul");
  CHECK(nlohmann::json::parse(profile({"--json"}).out).at("fault").is_null());
}
