// Tests `secondsource run` without failures; tests/fault tests it with failures.

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "record/record_json.h"
#include "support/bundles.h"
#include "support/catch.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using test::kTinyBundle;

const std::string kPriceBook = test::source_path("reports/prices.yaml");

TEST_CASE("run without arguments in an empty folder says what to do first") {
  const test::ScratchFolder scratch;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(scratch.path());
  const test::ProgramRun run = test::run_program({"run"});
  std::filesystem::current_path(before);
  test::check_refused(run, "expected a bundle, or a plan secondsource.yaml in this folder; found neither");
  for (const char* step :
       {"secondsource run installed:default", "bundle create --from-hf", "then secondsource run FOLDER"}) {
    CHECK(test::contains(run.err, step));
  }
}

struct Case {
  std::vector<std::string> arguments;
  const char* part;
};

TEST_CASE("run: what cannot be run is refused in one line with status 2") {
  const Case cases[] = {
      {{"run"}, "expected a bundle"},
      {{"run", "/nowhere"}, "/nowhere"},
      {{"run", kTinyBundle, "--scenario", "fast"}, "scenario \"fast\""},
      {{"run", kTinyBundle, "--scenario", "offline:4,offline-b4"}, "expected it once, found it twice"},
      {{"run", kTinyBundle, "--variant", "int3"}, "int3"},
      {{"run", kTinyBundle, "--variant", "in8"}, "found \"in8\"; did you mean int8?"},
      {{"run", kTinyBundle, "--backend", "reference", "--scenario", "single-stream@100000/16", "--dry-run"},
       "scenario single-stream: expected requests that fit into the context of tiny-gqa8-hd64, which is 4096 "
       "tokens; found prompts of 100000 tokens and answers of 16 tokens"},
      {{"run", kTinyBundle, "--backend", "reference", "--scenario", "offline:2@/5000", "--dry-run"},
       "4096 tokens; found answers of 5000 tokens"},
      {{"run", kTinyBundle, "--backend", "reference", "--scenario", "server:4@4090/8"}, "found prompts of 4090 tokens"},
      // A shared prefix is never cut.
      {{"run", kTinyBundle, "--backend", "reference", "--scenario", "single-stream+prefix=4090", "--dry-run"},
       "found prompts of 4091 tokens"},
      {{"run", kTinyBundle, "--suite", "nonsense", "--backend", "reference", "--dry-run", "--memory-max", "lots"},
       "--memory-max: expected a size such as"},
      {{"run", kTinyBundle, "--memory-max", "1"}, "--memory-max: expected at least 16.0 MiB"},
      {{"run", kTinyBundle, "--price", "abc"}, "--price: expected USD per hour, as 1.20, or the key of a row"},
      {{"run", kTinyBundle, "--price", "", "--price-book", kPriceBook}, "--price: expected a value, found \"\""},
      {{"run", kTinyBundle, "--price-per", "device"}, "--price-per: expected --price beside it, found none"},
      {{"run", kTinyBundle, "--price-book", kPriceBook}, "--price-book: expected --price beside it, found none"},
      {{"run", kTinyBundle, "--price", "1.20", "--price-book", kPriceBook}, "found \"1.20\", a price"},
      {{"run", kTinyBundle, "--price", "1e9"}, "--price: expected USD per hour above 0 and up to 1000000, found 1e9"},
      {{"run", kTinyBundle, "--price", "oci/af-casablanca-1/BM.GPU.MI300X.8", "--price-book", kPriceBook, "--price-per",
        "device"},
       "--price-per: expected instance beside \"oci/af-casablanca-1/BM.GPU.MI300X.8\""},
      {{"run", kTinyBundle, "--cpus", "x"}, "CPUs: expected a list"},
      {{"run", kTinyBundle, "--seed", "-1"},
       "--seed: expected a whole number from 0 to 9223372036854775807, found \"-1\""},
      {{"run", kTinyBundle, "--seed", "99999999999999999999"}, "found \"99999999999999999999\""},
      {{"generate", kTinyBundle, "--seed", "-1"}, "--seed: expected a whole number from 0"},
      {{"run", kTinyBundle, "--max-time", "0s"},
       "--max-time: expected a time above 0 such as 90s, 5min or 2h, found \"0s\""},
      {{"run", kTinyBundle, "--cell-budget", "-5s"}, "--cell-budget: expected a time above 0"},
      {{"run", kTinyBundle, "--step-deadline", "soon"}, "--step-deadline: expected a time above 0"},
      {{"run", kTinyBundle, "--cell-deadline", "0"}, "--cell-deadline: expected a time above 0"},
      {{"profile", kTinyBundle, "--backend", "reference", "--budget", "0s"}, "--budget: expected a time above 0"},
      {{"run", kTinyBundle, "--fault", "cpu"}, "expected BACKEND=KIND"},
      {{"run", kTinyBundle, "--fault", "gpu=crash:1"}, "expected a fault for one of this run's backends"},
      {{"run", kTinyBundle, "--fault", "reference=explode"}, "explode"},
      {{"run", kTinyBundle, "--backend-option", "cpu:kv=int8", "--backend-option", "cpu:kv=f32"},
       "--backend-option cpu:kv=f32: expected cpu:kv once, found \"int8\", too"},
      {{"check", kTinyBundle, "--backend-option", "cpu:kv=int8", "--backend-option", "cpu:kv=int8"},
       "expected cpu:kv once"},
      {{"generate", kTinyBundle, "--ids", "1", "--backend-option", "kv=int8", "--backend-option", "kv=f32"},
       "--backend-option kv=f32: expected kv once, found \"int8\", too"},
      {{"run", kTinyBundle, "--backend", "cpu", "--device", "cpu=0", "--device", "0", "--dry-run"},
       "--device cpu=0: expected one device of a backend, found cpu=0, too"},
      {{"profile", kTinyBundle, "--backend", "reference", "--fault", "cpu=slow:4"},
       "expected a fault for the backend that is profiled, which is reference"},
      {{"run", kTinyBundle, kTinyBundle}, "was given already"},
      {{"run", "--config", "/nowhere.yaml"}, "/nowhere.yaml"},
      {{"run", "--resume", "/nowhere"}, "/nowhere"},
      {{"run", kTinyBundle, "--resume", "/nowhere"}, "--resume: the plan is the one"},
      {{"run", kTinyBundle, "--resume", "/nowhere"}, "--json beside it, found a bundle"},
      {{"run", "--resume", "/nowhere", "--threads", "3"}, "--json beside it, found --threads"},
      {{"run", "--resume", "/nowhere", "--strict"}, "found --strict"},
      {{"run", "--resume", "/nowhere", "--no-golden", "--json"}, "found --no-golden"},
      {{"run", "--resume", "/nowhere", "--max-time", "5s"}, "found --max-time"},
      {{"run", "--resume", "/nowhere", "--slo", "ttft_ms=500"}, "found --slo"},
      {{"run", "--resume", "/nowhere", "--require", "cpu"}, "found --require"},
      {{"run", "--resume", "/nowhere", "--price", "1.20"}, "found --price"},
      {{"run", "--resume", "/nowhere", "--dry-run"}, "found --dry-run"},
  };
  for (const Case& one : cases) test::check_refused(test::run_program(one.arguments), one.part);
}

TEST_CASE("run: a wrong --baseline or --waivers is refused before anything is measured") {
  const test::ScratchFolder scratch;
  const auto out = scratch.path() / "run";
  const auto waivers = scratch.path() / "waivers.yaml";
  REQUIRE_OK(write_file(waivers, "waivers: 7\n"));
  const Case cases[] = {{{"--baseline", (scratch.path() / "nowhere").string()}, "nowhere"},
                        {{"--waivers", waivers.string()}, "waivers.yaml"},
                        {{"--waivers", (scratch.path() / "absent.yaml").string()}, "absent.yaml"}};
  for (const Case& one : cases) {
    std::vector<std::string> arguments = {"run", kTinyBundle, "--backend", "reference", "--out", out.string()};
    arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
    test::check_refused(test::run_program(arguments), one.part);
    CHECK_FALSE(std::filesystem::exists(out));
  }
}

TEST_CASE("run: --dry-run prints the cells and a time, and measures nothing") {
  const test::ScratchFolder scratch;
  const auto out = scratch.path() / "run";
  const test::ProgramRun run =
      test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16,int8", "--scenario",
                         "single-stream,offline:4", "--dry-run", "--out", out.string()});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  for (const char* part :
       {"tiny-gqa8-hd64/reference/bf16/single-stream", "tiny-gqa8-hd64/reference/int8/offline-b4", "4 cells, about "}) {
    CAPTURE(part);
    CHECK(run.out.find(part) != std::string::npos);
  }
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("run: --dry-run refuses what the run would refuse before it has loaded a model") {
  const Case cases[] = {
      {{"--backend", "reference", "--cpus", "1023"}, "CPU 1023: expected one that this process may run on"},
      {{"--backend", "reference", "--backend-option", "reference:foo=1"},
       "backend reference: option foo: reference knows guards and kv"},
      {{"--backend", "cpu", "--backend-option", "cpu:foo=1"}, "backend cpu: option foo: expected isa"},
      {{"--backend", "cpu", "--backend-option", "cpu:kv=f8"}, "backend cpu: option kv: expected bf16"},
      {{"--json"}, "--dry-run: expected no --json beside it"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> arguments = {"run", kTinyBundle, "--variant", "bf16", "--dry-run"};
    arguments.insert(arguments.end(), one.arguments.begin(), one.arguments.end());
    test::check_refused(test::run_program(arguments), one.part);
  }
  const test::ProgramRun good =
      test::run_program({"run", kTinyBundle, "--variant", "bf16", "--dry-run", "--backend", "cpu", "--backend-option",
                         "cpu:kv=int8", "--threads", "1", "--fault", "cpu=crash:1"});
  CAPTURE(good.err);
  CHECK(good.status == 0);
}

TEST_CASE("run: the longest requests that the model's context holds are planned") {
  const test::ProgramRun run = test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16",
                                                  "--scenario", "single-stream@4090/7", "--dry-run"});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(test::contains(run.out, "1 cell, about "));
}

TEST_CASE(
    "run: how the weights were quantized at their source is in the record, the table, the CSV and the verification") {
  const test::ScratchFolder scratch;
  const auto bundle = scratch.path() / "bundle";
  std::filesystem::copy(kTinyBundle, bundle, std::filesystem::copy_options::recursive);
  std::string manifest = read_file(bundle / "manifest.yaml").value();
  manifest.replace(manifest.find("source:\n"), 8, "source:\n  quantization: Q4_1, F32\n");
  REQUIRE_OK(write_file(bundle / "manifest.yaml", manifest));
  const std::string out = scratch.path() / "run";
  const test::ProgramRun run = test::run_program({"run", bundle.string(), "--backend", "reference", "--variant", "bf16",
                                                  "--scenario", "offline:2@/2", "--repetitions", "1", "--out", out});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(test::contains(run.out, "quantized at source"));
  CHECK(test::contains(run.out, "Q4_1, F32"));
  const auto record = nlohmann::json::parse(read_file(std::filesystem::path(out) / "run.json").value());
  CHECK(record.at("bundles").at(0).at("source_quantization") == "Q4_1, F32");
  CHECK(test::contains(test::run_program({"report", out, "--format", "csv"}).out, ",\"Q4_1, F32\""));
  CHECK(test::run_program({"verify", out}).status == 0);
}

TEST_CASE("run: a whole run leaves its record, its samples and its summary, and prints the table") {
  const test::ScratchFolder scratch;
  const auto out = scratch.path() / "run";
  const std::vector<std::string> arguments = {
      "run",           kTinyBundle, "--backend",  "reference",
      "--variant",     "bf16",      "--scenario", "single-stream@/4,offline:2@/4,server:4@/4",
      "--repetitions", "2",         "--price",    "1.20",
      "--out",         out.string()};
  const test::ProgramRun run = test::run_program(arguments);
  CAPTURE(run.err, run.out);
  REQUIRE(run.status == 0);
  CHECK(run.out.find("offline-b2") != std::string::npos);
  CHECK(run.out.find("passed") != std::string::npos);
  CHECK(run.out.find("run: " + out.string()) != std::string::npos);
  const auto stored = read_run(out);
  REQUIRE(stored);
  CHECK(stored->record.cells.size() == 3);
  CHECK(stored->record.price->usd_per_hour == 1.2);
  CHECK(stored->record.bundles.front().verified);
  CHECK_FALSE(stored->record.host.empty());
  for (const JournalLine& line : stored->journal.lines) {
    const auto* sample = std::get_if<RequestSample>(&line);
    if (sample == nullptr) continue;
    CAPTURE(to_json_line(line));
    CHECK(sample->n_output_tokens == 4);
    CHECK(sample->itl_ns.size() == 3);
    CHECK(sample->verified_tokens.has_value());
    CHECK_FALSE(sample->wrong_at.has_value());
    CHECK(*sample->ttft_e2e_ns() > 0);
    CHECK(sample->scheduled_ns <= sample->sent_ns);
  }
  CHECK(std::filesystem::exists(out / "telemetry.jsonl"));
  CHECK(std::filesystem::exists(out / "summary.json"));
  // An existing run is not overwritten.
  const test::ProgramRun again = test::run_program(arguments);
  CHECK(again.status == 2);
  CHECK(again.err.find("found a run in it") != std::string::npos);
}

TEST_CASE("run: a backend that was named and is not there is status 4, and the others complete") {
  const test::ScratchFolder scratch;
  const test::ProgramRun run = test::run_program(
      {"run", kTinyBundle, "--backend", "reference,cuda-of-tomorrow", "--variant", "bf16", "--scenario",
       "single-stream@/2", "--repetitions", "1", "--json", "--out", (scratch.path() / "run").string()});
  CAPTURE(run.err);
  CHECK(run.status == 4);
  const auto result = nlohmann::json::parse(run.out, nullptr, false);
  REQUIRE(result.is_object());
  CHECK(result["statuses"] == nlohmann::json::array({4}));
  CHECK(result["summary"]["cells"][0]["status"] == "complete");
  const test::ProgramRun none = test::run_program({"run", kTinyBundle, "--backend", "cuda-of-tomorrow"});
  CHECK(none.status == 4);
  CHECK(none.err.find("cuda-of-tomorrow") != std::string::npos);
  const test::ProgramRun mistyped = test::run_program({"run", kTinyBundle, "--backend", "refrence"});
  CHECK(mistyped.status == 4);
  CHECK(test::contains(mistyped.err, "did you mean reference?"));
}

TEST_CASE("run: a plan file does what flags do, and flags override it") {
  const test::ScratchFolder scratch;
  const auto plan = scratch.path() / "secondsource.yaml";
  std::ofstream(plan) << "version: 1\nbundles: [" << kTinyBundle << "]\nbackends: [reference]\nvariants: [bf16]\n"
                      << "scenarios: ['offline:2']\nrepetitions: 7\n";
  const test::ProgramRun run =
      test::run_program({"run", "--config", plan.string(), "--scenario", "offline:4", "--dry-run"});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(run.out.find("offline-b4") != std::string::npos);
  CHECK(run.out.find("7 x ") != std::string::npos);
  CHECK(run.out.find("offline-b2") == std::string::npos);
}

TEST_CASE("run: --baseline gates against a run of the same build, and never calls that a regression") {
  const test::ScratchFolder scratch;
  const auto run_into = [&](const char* name, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"run",       kTinyBundle, "--backend", "reference",
                                          "--variant", "bf16",      "--scenario"};
    for (const std::string& text :
         {std::string("single-stream@/4"), std::string("--out"), (scratch.path() / name).string()}) {
      arguments.push_back(text);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run_program(arguments);
  };
  REQUIRE(run_into("base", {}).status == 0);
  const test::ProgramRun gated = run_into("candidate", {"--baseline", (scratch.path() / "base").string()});
  CAPTURE(gated.out, gated.err);
  // The runs must be comparable, since build, machine and bundle are the same. On a loaded machine the verdict may be
  // inconclusive.
  CHECK((gated.status == 0 || gated.status == 5));
  CHECK(gated.out.find("gate: 0 regressed") != std::string::npos);
  CHECK(gated.out.find("not comparable") == std::string::npos);
}

TEST_CASE("worker: the null system answers over the pipes as a backend would") {
  const nlohmann::json options_of_null = {{"first_token_ns", "2000000"}, {"token_gap_ns", "1000000"}};
  const nlohmann::json job = {{"system", "null"},
                              {"program", ""},
                              {"bundle", ""},
                              {"bundle_name", "b"},
                              {"variant", "bf16"},
                              {"backend", "null"},
                              {"options", options_of_null},
                              {"suite", "smoke"},
                              {"seed", 1},
                              {"scenarios", nlohmann::json::array()},
                              {"step_deadline_ns", 0},
                              {"served", nullptr},
                              {"adapter", nullptr},
                              {"models", nlohmann::json::array()},
                              {"client", {{"index", 1}, {"count", 1}}}};
  const nlohmann::json scenario = {{"kind", "single-stream"},
                                   {"batch", 1},
                                   {"rate_per_s", 0},
                                   {"n_requests", 2},
                                   {"n_prompt_tokens", 0},
                                   {"n_output_tokens", 3},
                                   {"arrivals", "poisson"},
                                   {"burstiness", 1},
                                   {"trace", ""},
                                   {"trace_sha256", ""},
                                   {"trace_speed", 1},
                                   {"seeks_slo_rate", false},
                                   {"n_shared_prefix", 0},
                                   {"batching", "continuous"}};
  const nlohmann::json host_limits = {{"noise_suspect", 0.02},    {"noise_invalid", 0.9},      {"steal_suspect", 0.01},
                                      {"steal_invalid", 0.25},    {"fewest_steal_ticks", 3},   {"quota_suspect", 0.01},
                                      {"major_faults_per_s", 10}, {"fewest_major_faults", 10}, {"frequency_suspect", 1},
                                      {"frequency_invalid", 1}};
  const nlohmann::json plan = {{"cell", "b/null/bf16/single-stream"},
                               {"scenario", scenario},
                               {"repetition", 0},
                               {"seed", 1},
                               {"time_budget_ns", 0},
                               {"n_done", 0},
                               {"clock_ns", 0},
                               {"n_done_tokens", 0},
                               {"warm_up", nullptr},
                               {"host_limits", host_limits},
                               {"load_ns", 0},
                               {"compile_ns", 0}};
  test::ProgramOptions options;
  for (const nlohmann::json& line :
       {nlohmann::json{{"do", "load"}, {"job", job}}, nlohmann::json{{"do", "golden"}, {"answers", nullptr}},
        nlohmann::json{{"do", "measure"}, {"plan", plan}, {"probe", nullptr}}, nlohmann::json{{"do", "kept"}},
        nlohmann::json{{"do", "kept"}}, nlohmann::json{{"do", "kept"}}, nlohmann::json{{"do", "quit"}}}) {
    options.input += line.dump() + "\n";
  }
  const test::ProgramRun run = test::run_program({"worker"}, options);
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  std::string said;
  int n_samples = 0;
  std::istringstream lines(run.out);
  for (std::string line; std::getline(lines, line);) {
    const auto message = nlohmann::json::parse(line);
    if (message["say"] == "alive") continue;
    said += message["say"].get<std::string>() + " ";
    if (message["say"] != "lines") continue;
    for (const auto& object : message["lines"]) {
      const auto kept = journal_line_from_json(object.dump(), "worker");
      REQUIRE(kept);
      const auto* sample = std::get_if<RequestSample>(&*kept);
      if (sample == nullptr) continue;
      ++n_samples;
      CHECK(sample->itl_ns == std::vector<std::int64_t>{1'000'000, 1'000'000});
    }
  }
  CHECK(said == "loaded golden lines lines lines done ");
  CHECK(n_samples == 2);
}

TEST_CASE("run: --threads and --cpus reach the worker and the record") {
  const test::ScratchFolder scratch;
  const auto out = scratch.path() / "run";
  const test::ProgramRun run = test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16",
                                                  "--scenario", "single-stream@/2", "--repetitions", "1", "--threads",
                                                  "1", "--cpus", "0", "--out", out.string()});
  CAPTURE(run.err);
  REQUIRE(run.status == 0);
  const auto stored = read_run(out);
  REQUIRE(stored);
  const auto& options = stored->record.backends.front().options;
  CHECK(std::find(options.begin(), options.end(), std::pair<std::string, std::string>("threads", "1")) !=
        options.end());
  CHECK(std::find(options.begin(), options.end(), std::pair<std::string, std::string>("cpus", "0")) != options.end());
}

TEST_CASE("run: where any noise is taken, one look at the machine's limits is enough for all runs") {
  const test::ScratchFolder scratch;
  const std::filesystem::path cache = scratch.path() / "cache";
  const test::ProgramOptions options{
      .environment = {{"XDG_CACHE_HOME", cache.string()}, {"SECONDSOURCE_NOISE_LIMIT", "100"}}};
  for (const char* name : {"first", "second"}) {
    const auto out = scratch.path() / name;
    const test::ProgramRun run =
        test::run_program({"run", kTinyBundle, "--backend", "reference", "--variant", "bf16", "--scenario",
                           "single-stream@/2", "--repetitions", "1", "--out", out.string()},
                          options);
    CAPTURE(run.err);
    REQUIRE(run.status == 0);
    const auto stored = read_run(out);
    REQUIRE(stored);
    CHECK(stored->record.limits);
  }
  // A full measurement of the machine's limits reads buffers of all sizes; the short one before a repetition reads only one size.
  int n_looks = 0;
  for (const auto& entry : std::filesystem::directory_iterator(cache / "secondsource/limits")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      if (line.empty()) continue;
      const auto reads = nlohmann::json::parse(line)["reads"];
      n_looks += std::ranges::all_of(reads, [](const auto& read) { return read["bytes_per_s"] > 0; }) ? 1 : 0;
    }
  }
  CHECK(n_looks == 1);
}

}  // namespace
}  // namespace secondsource
