// Tests --device with a stand-in module (partitioned_module.cpp): which device of a backend a worker gets, its
// environment, and that the readings of its sensors are stored.

#include "core/file.h"
#include "expectations.h"
#include "record/record_json.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun run_with_stand_in(const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "run", source_path("bundles/tiny-gqa8-hd64"), "--variant", "bf16", "--scenario", "single-stream@/2", "--price",
      "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments, {.environment = {{"SECONDSOURCE_MODULES", SS_TEST_MODULES}}});
}

}  // namespace

TEST_CASE("--device gives a worker a part of a GPU, through its environment, and the record says which") {
  const ScratchFolder scratch;
  const std::string out = (scratch.path() / "run").string();
  const ProgramRun run = run_with_stand_in(
      {"--backend", "partitioned,reference", "--device", "partitioned=PART-b", "--repetitions", "1", "--out", out});
  CAPTURE(run.err);
  REQUIRE(run.status == 0);
  const auto stored = read_run(out);
  REQUIRE_OK(stored);
  const BackendRecord& backend = stored->record.backends.front();
  CHECK(backend.device.id == "PART-b");
  CHECK(backend.device.properties == std::vector<std::pair<std::string, std::string>>{{"mig", "instance"}});
  const std::vector<std::pair<std::string, std::string>> expected = {{"device", "PART-b"},
                                                                     {"env:SS_VISIBLE_PART", "PART-b"}};
  CHECK(backend.options == expected);
  CHECK(stored->record.backends.back().options.empty());

  // The device's readings are stored together with the host's, both in the time series and in each repetition's summary.
  const auto series = read_file(std::filesystem::path(out) / "telemetry.jsonl");
  REQUIRE_OK(series);
  CHECK(contains(*series, "\"device_power_w\":250"));
  CHECK(contains(*series, "not available: a stand-in has no clock"));
  CHECK(contains(*read_file(std::filesystem::path(out) / "samples.jsonl"), "\"device_power_w\""));
}

TEST_CASE("without --device the first device is used; one named backend needs no name in front of the id") {
  const ScratchFolder scratch;
  const auto device_of = [&](const std::string& out, const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"--backend", "partitioned", "--repetitions", "1", "--out", out};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const ProgramRun run = run_with_stand_in(arguments);
    CAPTURE(run.err);
    REQUIRE(run.status == 0);
    const auto stored = read_run(out);
    REQUIRE_OK(stored);
    return stored->record.backends.front().device.id;
  };
  CHECK(device_of((scratch.path() / "first").string(), {}) == "0");
  CHECK(device_of((scratch.path() / "part").string(), {"--device", "PART-b"}) == "PART-b");
}

TEST_CASE("a device that is not there, or whose backend is not clear, is refused in one line") {
  check_refused(run_with_stand_in({"--backend", "partitioned", "--device", "7"}),
                "--device partitioned=7: expected one of the devices of this backend, whose ids are 0, PART-b");
  check_refused(run_with_stand_in({"--device", "0"}), "--device 0: expected --device BACKEND=0");
  check_refused(run_with_stand_in({"--backend", "reference", "--device", "partitioned=0"}),
                "--device partitioned=0: expected the device of one of this run's backends, which are reference");
  check_refused(run_with_stand_in({"--device", "partitioned="}), "expected [BACKEND=]ID");
  check_refused(run_with_stand_in({"--resume", "/nowhere", "--device", "0"}), "--resume: ");
}
