// `run --resume` of a run directory that was edited, or whose machine, program or bundle changed: it is refused with the
// reason before anything is written. tests/fault tests the resumption of interrupted runs.

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "core/file.h"
#include "expectations.h"
#include "record/record_json.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

/// A finished run of one cell on a copy of a small bundle.
class FinishedRun {
 public:
  FinishedRun() {
    fs::copy(source_path("bundles/tiny-gqa8-hd64"), bundle(), fs::copy_options::recursive);
    const ProgramRun run =
        run_program({"run", bundle().string(), "--backend", "reference", "--variant", "bf16", "--scenario",
                     "single-stream@/2", "--repetitions", "1", "--out", folder().string()});
    CAPTURE(run.err);
    REQUIRE((run.status == 0 || run.status == 6));
    samples_ = read_file(folder() / "samples.jsonl").value();
    record_ = read_run(folder()).value().record;
  }

  [[nodiscard]] fs::path bundle() const { return scratch_.path() / "bundle"; }
  [[nodiscard]] fs::path folder() const { return scratch_.path() / "run"; }

  /// Alters run.json, with a matching checksum, and resumes the run.
  [[nodiscard]] ProgramRun resume(const std::function<void(RunRecord&)>& alter,
                                  const std::vector<std::string>& more = {}) const {
    RunRecord record = record_;
    alter(record);
    REQUIRE_OK(write_record(folder() / "run.json", record));
    std::vector<std::string> arguments = {"run", "--resume", folder().string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  void check_refused(const ProgramRun& run, int status, std::string_view part) const {
    CAPTURE(run.out, run.err, part);
    CHECK(run.status == status);
    CHECK(is_one_line(run.err));
    CHECK(contains(run.err, part));
    CHECK(read_file(folder() / "samples.jsonl").value() == samples_);
  }

 private:
  ScratchFolder scratch_;
  std::string samples_;
  RunRecord record_;
};

void set_fact(RunRecord& record, std::string_view name, const std::string& value) {
  for (HostFact& fact : record.host) {
    if (fact.name == name) fact.value = value;
  }
}

}  // namespace

TEST_CASE("--resume refuses another machine, program, module, device or bundle, and says what differs") {
  const FinishedRun run;
  const ProgramRun unaltered = run.resume([](RunRecord&) {});
  CAPTURE(unaltered.err);
  REQUIRE((unaltered.status == 0 || unaltered.status == 6));
  REQUIRE_FALSE(contains(unaltered.err, "start a new run"));
  const std::string other_hash(64, '0');
  const std::vector<std::pair<const char*, std::function<void(RunRecord&)>>> cases = {
      {"the host's cpu_model changed since the run began: expected AMD EPYC 9999, found ",
       [](RunRecord& record) { set_fact(record, "cpu_model", "AMD EPYC 9999"); }},
      {"the host's affinity_cpus changed", [](RunRecord& record) { set_fact(record, "affinity_cpus", "0-191"); }},
      {"the host's cgroup_cpu_limit changed", [](RunRecord& record) { set_fact(record, "cgroup_cpu_limit", "77"); }},
      {"the host's kernel changed", [](RunRecord& record) { set_fact(record, "kernel", "2.6.32"); }},
      {"the host's memory_bytes changed", [](RunRecord& record) { set_fact(record, "memory_bytes", "1048576"); }},
      {"the host's program_sha256 changed", [&](RunRecord& record) { set_fact(record, "program_sha256", other_hash); }},
      {"the host's cpu_model changed since the run began: expected none",
       [](RunRecord& record) {
         std::erase_if(record.host, [](const auto& fact) { return fact.name == "cpu_model"; });
       }},
      {"the program's commit changed", [](RunRecord& record) { record.commit = "0123456789ab"; }},
      {"the program's version changed", [](RunRecord& record) { record.program_version = "0.0.1"; }},
      {"module reference changed", [&](RunRecord& record) { record.backends[0].module_sha256 = other_hash; }},
      {"device 0 of reference changed", [](RunRecord& record) { record.backends[0].device.name = "an H100"; }},
      {"device of reference changed", [](RunRecord& record) { record.backends[0].device.id = "9"; }},
      {"a backend that cannot be used now: backend tpu: there is no backend of this name",
       [](RunRecord& record) { record.backends[0].name = "tpu"; }},
      {"bundle tiny-gqa8-hd64 changed", [&](RunRecord& record) { record.bundles[0].content_sha256 = other_hash; }},
  };
  for (const auto& [part, alter] : cases) run.check_refused(run.resume(alter), 6, part);
}

TEST_CASE("--resume refuses a bundle of which any file changed at equal size") {
  const FinishedRun run;
  for (const char* const file : {"config.json", "model.safetensors", "tokenizer.json", "manifest.yaml"}) {
    const fs::path path = run.bundle() / file;
    const std::string before = read_file(path).value();
    std::string after = before;
    after[after.size() - 2] = after[after.size() - 2] == ' ' ? '\n' : ' ';
    std::ofstream(path, std::ios::binary) << after;
    run.check_refused(run.resume([](RunRecord&) {}), 6, "bundle tiny-gqa8-hd64 changed since the run began");
    std::ofstream(path, std::ios::binary) << before;
  }
}

TEST_CASE("--resume takes no orders from run.json that the command line would refuse") {
  const FinishedRun run;
  const fs::path precious = run.folder().parent_path() / "precious";
  std::ofstream(precious) << "mine";
  const auto option = [](std::string key, std::string value) {
    return [key, value](RunRecord& record) { record.backends[0].options.emplace_back(key, value); };
  };
  const std::vector<std::pair<const char*, std::function<void(RunRecord&)>>> cases = {
      {"settings: threads: expected 1 to 4096, found 2147483647",
       [](RunRecord& record) { record.settings.threads = 2147483647; }},
      {"settings: threads", [](RunRecord& record) { record.settings.threads = -1; }},
      {"settings: memory_max_bytes", [](RunRecord& record) { record.settings.memory_max_bytes = -5; }},
      {"settings: step_deadline_s", [](RunRecord& record) { record.settings.step_deadline_s = 0; }},
      {"settings: cell_budget_s", [](RunRecord& record) { record.settings.cell_budget_s = 1e300; }},
      {"settings: noise_limit", [](RunRecord& record) { record.settings.noise_limit = -1; }},
      {"n_requests: expected 1 to 1000000, found 0",
       [](RunRecord& record) { record.cells[0].scenario.n_requests = 0; }},
      {"batch: expected", [](RunRecord& record) { record.cells[0].scenario.batch = 0; }},
      {"n_prompt_tokens: expected", [](RunRecord& record) { record.cells[0].scenario.n_prompt_tokens = -1; }},
      {"n_output_tokens: expected", [](RunRecord& record) { record.cells[0].scenario.n_output_tokens = 2147483647; }},
      {"n_shared_prefix: expected", [](RunRecord& record) { record.cells[0].scenario.n_shared_prefix = 1 << 30; }},
      {"repetitions: expected", [](RunRecord& record) { record.cells[0].repetitions = 2147483647; }},
      {"rate_per_s: expected", [](RunRecord& record) { record.cells[0].scenario.rate_per_s = -1; }},
      {"burstiness: expected", [](RunRecord& record) { record.cells[0].scenario.burstiness = 0; }},
      {"trace: expected", [](RunRecord& record) { record.cells[0].scenario.trace = "/etc/passwd"; }},
      {"key: expected the scenario's name", [](RunRecord& record) { record.cells[0].key.scenario = "offline-b1"; }},
      {"expected it once, found it twice", [](RunRecord& record) { record.cells.push_back(record.cells[0]); }},
      {"option threads: value: expected 1 to 4096", option("threads", "2147483647")},
      {"option cpus", option("cpus", "0")},
      {"fault \"melt\"", option("fault", "melt")},
      {"option env:LD_PRELOAD: expected only variables that the module declares",
       option("env:LD_PRELOAD", "/tmp/foreign.so")},
      {"option env:SECONDSOURCE_MODULES", option("env:SECONDSOURCE_MODULES", "/tmp")},
      {"is outside the run directory", [&](RunRecord& record) { record.settings.trace_file = precious.string(); }},
      {"is outside the run directory",
       [&](RunRecord& record) { record.settings.trace_file = (run.folder() / ".." / "precious").string(); }},
      {"which the run needs",
       [&](RunRecord& record) { record.settings.trace_file = (run.folder() / "samples.jsonl").string(); }},
  };
  for (const auto& [part, alter] : cases) run.check_refused(run.resume(alter), 2, part);
  CHECK(read_file(precious).value() == "mine");
}

TEST_CASE("--resume refuses a run directory in which a link or a pipe stands for a file") {
  const FinishedRun run;
  const fs::path precious = run.folder().parent_path() / "precious";
  std::ofstream(precious) << "mine";
  const fs::path planted = run.folder() / "workers" / "tiny-gqa8-hd64-reference-bf16.stderr";
  const auto resume = [&] { return run.resume([](RunRecord&) {}); };
  fs::remove(planted);
  fs::create_symlink(precious, planted);
  run.check_refused(resume(), 2, "expected a plain file in a run directory, found a link");
  fs::remove(planted);
  REQUIRE(::mkfifo(planted.c_str(), 0600) == 0);
  run.check_refused(resume(), 2, "expected a plain file in a run directory, found a special file");
  fs::remove(planted);
  fs::rename(run.folder() / "workers", run.folder().parent_path() / "elsewhere");
  fs::create_directory_symlink(run.folder().parent_path() / "elsewhere", run.folder() / "workers");
  run.check_refused(resume(), 2, "found a link");
  CHECK(read_file(precious).value() == "mine");
}

TEST_CASE("--resume writes a trace file inside the run directory, or where the command line says so too") {
  const FinishedRun run;
  const auto writes_to = [](const fs::path& file) {
    return [file](RunRecord& record) { record.settings.trace_file = file.string(); };
  };
  const fs::path inside = run.folder() / "trace.json";
  const ProgramRun first = run.resume(writes_to(inside));
  CAPTURE(first.err);
  CHECK((first.status == 0 || first.status == 6));
  CHECK(fs::exists(inside));
  const fs::path outside = run.folder().parent_path() / "trace.json";
  const ProgramRun second = run.resume(writes_to(outside), {"--trace", outside.string()});
  CAPTURE(second.err);
  CHECK((second.status == 0 || second.status == 6));
  CHECK(fs::exists(outside));
}

TEST_CASE("--resume refuses a trace file that the run did not begin with") {
  const FinishedRun run;
  const fs::path file = run.folder().parent_path() / "trace.json";
  run.check_refused(run.resume([](RunRecord&) {}, {"--trace", file.string()}), 2,
                    "--trace: expected the trace file that the run began with, none, found " + file.string());
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("--resume refuses an edited run.json that has its old checksum") {
  const FinishedRun run;
  std::string text = read_file(run.folder() / "run.json").value();
  text.replace(text.find("\"seed\": "), 8, "\"seed\": 1");
  REQUIRE_OK(write_file(run.folder() / "run.json", text));
  run.check_refused(run_program({"run", "--resume", run.folder().string()}), 2, "run.json: damaged");
}
