// Tests `run --system` with servers, from the command line to every report. The servers are stand-ins that answer from the
// bundle's expected outputs (tests/serving/stand_in.py), so that their tokens are right unless a test plants wrong ones.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "expectations.h"
#include "record/record_json.h"
#include "support/bundles.h"
#include "support/scratch_folder.h"
#include "support/stand_in.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

using test::kDefaultBundle;

std::vector<std::string> with_bundle(std::vector<std::string> options) {
  options.insert(options.end(), {"--bundle", kDefaultBundle});
  return options;
}

/// A run of one system on the smoke suite.
class SystemRun {
 public:
  explicit SystemRun(const std::string& system, const std::vector<std::string>& more = {},
                     const test::ProgramOptions& options = {}) {
    std::vector<std::string> arguments = {
        "run", kDefaultBundle, "--system",       system, "--scenario", "offline:2+requests=4@/6", "--repetitions",
        "1",   "--out",        folder().string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    run_ = test::run_program(arguments, options);
  }
  [[nodiscard]] const test::ProgramRun& run() const { return run_; }
  [[nodiscard]] fs::path folder() const { return scratch_.path() / "run"; }
  [[nodiscard]] StoredRun stored() const {
    CAPTURE(run_.out, run_.err);
    auto read = read_run(folder());
    REQUIRE_OK(read);
    return *std::move(read);
  }
  [[nodiscard]] nlohmann::json summary() const {
    CAPTURE(run_.out, run_.err);
    const auto text = read_file(folder() / "summary.json");
    REQUIRE_OK(text);
    return nlohmann::json::parse(*text);
  }

 private:
  test::ScratchFolder scratch_;
  test::ProgramRun run_;
};

}  // namespace

TEST_CASE("a server with right tokens passes, at the level that it can show") {
  struct Case {
    std::string preset;
    std::vector<std::string> options;
    std::string parts;
    std::string level;
  };
  const auto one = GENERATE(values<Case>({
      {"vllm", {}, "", "forced"},
      {"sglang", {}, "", "forced"},
      {"llama-server", {}, "", "forced"},
      {"tgi", {}, "", "logprob"},
      {"vllm", {"--no-scores"}, "", "greedy"},
      {"vllm", {}, ",api=chat", "greedy"},
      {"any", {}, "", "text"},
      {"transformers", {}, ",api=chat", "text"},
  }));
  CAPTURE(one.preset, one.options, one.parts);
  std::vector<std::string> options = with_bundle(one.options);
  options.insert(options.end(), {"--dialect", one.preset});
  const test::StandIn server(options);
  const SystemRun measured("it=" + server.url() + ",preset=" + one.preset + one.parts);
  const test::ProgramRun& run = measured.run();
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  const nlohmann::json summary = measured.summary();
  const nlohmann::json& cell = summary.at("cells").at(0);
  CHECK(cell.at("golden") == "passed");
  CHECK(cell.at("golden_level") == one.level);
  CHECK(cell.at("n_errors") == 0);
  CHECK(cell.at("memory").is_null());
  const nlohmann::json& golden = summary.at("golden").at(0);
  CHECK(golden.at("n_wrong") == 0);
  CHECK(golden.at("n_prompts").get<int>() > 3);
  CHECK(golden.at("n_positions").get<int>() > 20);
  CHECK(golden.at("n_same_twice") == golden.at("n_repeated"));
  CHECK(golden.at("n_same_in_batch") == golden.at("n_repeated"));
  CHECK(test::contains(run.out, "passed (" + one.level + ")"));
  CHECK(test::contains(run.out, "which cannot show"));
  // lib/verify, an independent implementation, derives the same figures.
  const test::ProgramRun verified = test::run_program({"verify", measured.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("planted wrong tokens are found, whatever the level") {
  struct Case {
    std::string preset;
    std::vector<std::string> fault;
    std::string level;
  };
  const auto one = GENERATE(values<Case>({
      {"vllm", {"--wrong-scores"}, "forced"},
      {"sglang", {"--wrong-scores"}, "forced"},
      {"llama-server", {"--wrong-scores"}, "forced"},
      {"tgi", {"--wrong-scores"}, "logprob"},
      {"vllm", {"--wrong-token", "1", "--no-scores"}, "greedy"},
      {"vllm", {"--wrong-token", "1"}, "forced"},  // the scores are right; only generated tokens are wrong
      {"any", {"--wrong-token", "1"}, "text"},
  }));
  CAPTURE(one.preset, one.fault);
  std::vector<std::string> options = with_bundle(one.fault);
  options.insert(options.end(), {"--dialect", one.preset});
  const test::StandIn server(options);
  const SystemRun measured("it=" + server.url() + ",preset=" + one.preset);
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 3);
  const nlohmann::json cell = measured.summary().at("cells").at(0);
  CHECK(cell.at("golden") == "failed");
  CHECK(cell.at("golden_level") == one.level);
  CHECK(test::contains(measured.run().out, "WRONG TOKENS (" + one.level + ")"));
}

TEST_CASE("a server that answers differently each time is called not deterministic") {
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--moody"}));
  const SystemRun measured("it=" + server.url() + ",preset=vllm");
  const nlohmann::json golden = measured.summary().at("golden").at(0);
  CHECK(golden.at("n_same_twice") < golden.at("n_repeated"));
  CHECK(test::contains(measured.run().out, "not deterministic"));
}

TEST_CASE("run.json says what the server is, and the reports show the row beside our own") {
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--version", "9.8.7"}));
  const SystemRun measured("theirs=" + server.url() + ",preset=vllm,devices=2",
                           {"--backend", "reference", "--variant", "bf16", "--price", "2"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  const StoredRun stored = measured.stored();
  REQUIRE(stored.record.backends.size() == 2);
  const BackendRecord& theirs = stored.record.backends.back();
  REQUIRE(theirs.served);
  CHECK(theirs.served->version == "9.8.7");
  CHECK(theirs.served->model == "stand-in");
  CHECK(theirs.served->url == server.url() + "/v1");
  CHECK(theirs.n_units_used == 2);
  CHECK(theirs.module_sha256.empty());
  for (const char* format : {"markdown", "html", "csv", "junit", "json"}) {
    const test::ProgramRun report = test::run_program({"report", measured.folder().string(), "--format", format});
    CAPTURE(format, report.err);
    CHECK(report.status == 0);
    CHECK(test::contains(report.out, "theirs"));
    CHECK(test::contains(report.out, "reference"));
  }
  const test::ProgramRun html = test::run_program({"report", measured.folder().string(), "--format", "html"});
  CHECK(test::contains(html.out, "vllm 9.8.7 at " + server.url()));
  CHECK(test::contains(html.out, "judged by"));
}

TEST_CASE("each row is charged what it uses of the price, which stands beside the price, and verify derives the same") {
  constexpr const char* kRow = "oci/af-casablanca-1/BM.GPU.MI300X.8";  // 48 USD/h, 8 accelerators, 224 vCPUs
  struct Case {
    std::string parts;
    std::vector<std::string> price;
    double usd_per_hour;  // of the server
    double n_devices;
    std::string text;
  };
  const std::vector<std::string> row = {"--price", kRow, "--price-book", test::source_path("reports/prices.yaml")};
  const auto one = GENERATE_COPY(values<Case>({
      {",devices=4",
       {"--price", "3.6", "--price-per", "device"},
       14.4,
       4,
       "charged for it: 14.4 USD/h (4 devices at 3.6 USD/h)"},
      {",devices=4", {"--price", "3.6"}, 3.6, 4, "charged for it: 3.6 USD/h (the whole instance)"},
      {",devices=1", row, 6, 1, "charged for it: 6 of 48 USD/h (1 of 8 devices)"},
      {"", row, 48, 8, "charged for it: 48 USD/h (all 8 devices)"},
  }));
  CAPTURE(one.parts, one.price);
  const test::StandIn server(with_bundle({"--dialect", "vllm"}));
  std::vector<std::string> more = {"--backend", "reference", "--variant", "bf16", "--threads", "1", "--no-golden"};
  more.insert(more.end(), one.price.begin(), one.price.end());
  const SystemRun measured("it=" + server.url() + ",preset=vllm" + one.parts, more);
  CAPTURE(measured.run().out, measured.run().err);
  REQUIRE(measured.run().status == 0);
  CHECK(test::contains(measured.run().out, one.text));
  const std::vector<BackendRecord> backends = measured.stored().record.backends;
  // The backend on the host is charged one vCPU, of this machine or of the one that the row prices. With a price by the
  // device the host counts as one device.
  const PriceShare of_host = backends.front().price_share.value();
  CHECK(of_host.n_used == 1);
  CHECK(of_host.unit ==
        (one.price.size() == 4 && one.price[2] == "--price-per" ? PriceUnit::kDevice : PriceUnit::kCpu));
  if (one.price == row) CHECK(of_host.n_of == 224);
  const nlohmann::json summary = measured.summary();
  for (const nlohmann::json& cell : summary.at("cells")) {
    if (cell.at("key").at("backend") != "it") continue;
    const double rate = cell.at("output_tok_per_s").at("value");
    CHECK(cell.at("usd_per_1k_output").get<double>() == Approx(one.usd_per_hour / (rate * 3.6)));
    CHECK(cell.at("device_hours_per_million").get<double>() == Approx(one.n_devices * 1e6 / (rate * 3600)));
  }
  const test::ProgramRun verified = test::run_program({"verify", measured.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("a stored run of a server is a baseline, and history takes it") {
  const test::StandIn server(with_bundle({"--dialect", "vllm"}));
  const SystemRun base("it=" + server.url() + ",preset=vllm");
  const SystemRun candidate("it=" + server.url() + ",preset=vllm", {"--baseline", base.folder().string()});
  CAPTURE(candidate.run().out, candidate.run().err);
  CHECK(test::contains(candidate.run().out, "gate: "));
  CHECK_FALSE(test::contains(candidate.run().out, "not comparable"));
  const test::ScratchFolder scratch;
  const std::string database = (scratch.path() / "history.db").string();
  const test::ProgramRun added = test::run_program({"history", "add", base.folder().string(), "--db", database});
  CAPTURE(added.out, added.err);
  CHECK(added.status == 0);
}

TEST_CASE("requests that fail are counted, and make the row INVALID") {
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--fault", "503:3"}));
  const SystemRun measured("it=" + server.url() + ",preset=vllm");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 6);
  const nlohmann::json cell = measured.summary().at("cells").at(0);
  CHECK(cell.at("status") == "invalid");
  CHECK(cell.at("n_errors") > 0);
  CHECK(test::contains(measured.run().out, "HTTP 503: too busy (try again after 7 s)"));
}

TEST_CASE("a server that caps its answers and counts nothing is INVALID, and what it cannot show is absent") {
  const std::vector<std::string> silent = {"--dialect", "any", "--no-usage", "--gap-ms", "1"};
  std::vector<std::string> capped = silent;
  capped.insert(capped.end(), {"--cap", "24"});
  const std::vector<std::string> longer = {"--scenario", "offline:3+requests=4@16/60"};
  const test::StandIn short_answers(with_bundle(capped));
  const SystemRun measured("it=" + short_answers.url() + ",preset=any", longer);
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 6);
  CHECK(measured.summary().at("cells").back().at("status") == "invalid");
  CHECK(test::contains(measured.run().out, "144 had no event of their own and are assumed"));
  CHECK(test::contains(measured.run().out, "the text of answers that were taken for 240 tokens has "));
  // The same server with whole answers.
  const test::StandIn whole_answers(with_bundle(silent));
  const SystemRun whole("it=" + whole_answers.url() + ",preset=any", longer);
  CAPTURE(whole.run().out, whole.run().err);
  CHECK(whole.run().status == 0);
  const nlohmann::json cell = whole.summary().at("cells").back();
  for (const char* name : {"device_utilisation", "compile_ns", "prefix_hit_rate", "decode_tok_per_s"}) {
    CAPTURE(name);
    const nlohmann::json& figure = cell.at(name);
    CHECK((figure.is_object() ? figure.at("value") : figure).is_null());
  }
  std::map<std::string, std::string> outcomes;
  std::map<std::string, std::string> details;
  for (const nlohmann::json& check : cell.at("checks")) {
    outcomes[check.at("name")] = check.at("outcome");
    details[check.at("name")] = check.at("detail");
  }
  CHECK(outcomes["tokens"] == "passed");
  CHECK(test::contains(details["tokens"], "240 arrived, as asked; the system gives no count"));
  CHECK(outcomes["prompt_cache"] == "not available");
  CHECK(outcomes["compiled"] == "not available");
  CHECK(test::contains(details["foreign_cpu"], "a thread of the client"));
  const test::ProgramRun verified = test::run_program({"verify", whole.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("an answer to a golden prompt that ends early is said to end, after how many tokens") {
  for (const char* const preset : {"any", "vllm"}) {
    CAPTURE(preset);
    const test::StandIn server(with_bundle({"--dialect", preset, "--cap", "3", "--no-scores"}));
    const SystemRun measured("it=" + server.url() + ",preset=" + preset);
    CAPTURE(measured.run().out, measured.run().err);
    CHECK(measured.run().status == 3);
    CHECK(test::contains(measured.run().out, "found the end of the answer after 3 tokens"));
  }
}

TEST_CASE("a server that is not there is a failure, and the others are measured") {
  std::string url;
  {
    test::StandIn gone({});
    url = gone.url();
    gone.stop();
  }
  const SystemRun measured("gone=" + url, {"--backend", "reference", "--variant", "bf16"});
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 4);
  CHECK(test::contains(measured.run().out, "gone: not run: "));
  CHECK(measured.summary().at("cells").size() == 1);
}

TEST_CASE("a key is in no file and in no message") {
  const std::string key = "s3cret-of-the-test";
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--key", key, "--fault", "500-with-key:3"}));
  const std::string system = "it=" + server.url() + ",preset=vllm";
  test::ProgramOptions options;
  options.environment = {{"SECONDSOURCE_TEST_KEY", key}};
  const SystemRun measured(system + ",key_env=SECONDSOURCE_TEST_KEY", {}, options);
  const test::ProgramRun& run = measured.run();
  CAPTURE(run.out, run.err);
  CHECK(run.status == 6);  // one request in three failed
  CHECK(test::contains(run.out, "the key is Bearer [key]"));
  CHECK_FALSE(test::contains(run.out + run.err, key));
  int n_files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(measured.folder())) {
    if (!entry.is_regular_file()) continue;
    ++n_files;
    CAPTURE(entry.path());
    CHECK_FALSE(test::contains(read_file(entry.path()).value(), key));
  }
  CHECK(n_files > 3);
  // Resuming needs the key again, and accepts only the same address.
  const std::string folder = measured.folder().string();
  test::check_refused(test::run_program({"run", "--resume", folder}), "no key is stored: expected --system it=");
  test::check_refused(test::run_program({"run", "--resume", folder, "--system", "it=http://elsewhere:1"}),
                      "expected a system of the run that goes on");
  const test::ProgramRun resumed =
      test::run_program({"run", "--resume", folder, "--system", system + ",key_env=SECONDSOURCE_TEST_KEY"}, options);
  CAPTURE(resumed.out, resumed.err);
  CHECK(resumed.status == 6);
}

TEST_CASE("a run goes on only with the server that it began with") {
  auto first = std::make_unique<test::StandIn>(with_bundle({"--dialect", "vllm", "--version", "1"}));
  const std::string port = first->port();
  const SystemRun measured("it=" + first->url() + ",preset=vllm");
  const std::string folder = measured.folder().string();
  const test::ProgramRun same = test::run_program({"run", "--resume", folder});
  CAPTURE(same.out, same.err);
  CHECK(same.status == 0);
  first->stop();
  const test::StandIn second(with_bundle({"--dialect", "vllm", "--version", "2", "--port", port}));
  const test::ProgramRun other = test::run_program({"run", "--resume", folder});
  CHECK(other.status == 6);
  CHECK(test::contains(other.err, "system it: the server's version changed since the run began: expected 1, found 2"));
}

TEST_CASE("a run goes on with the pages and the settings that it began with") {
  auto first = std::make_unique<test::StandIn>(with_bundle({"--dialect", "vllm"}));
  const std::string port = first->port();
  const test::StandIn exporter({});
  const SystemRun measured("it=" + first->url() + ",preset=vllm,speculative=ngram,telemetry=" + exporter.url() +
                           "/device-metrics");
  const std::string folder = measured.folder().string();
  const auto before = measured.stored().record.backends.back().served;
  const test::ProgramRun same = test::run_program({"run", "--resume", folder});
  CAPTURE(same.out, same.err);
  CHECK(same.status == 0);
  CHECK(measured.stored().record.backends.back().served == before);
  CHECK(before->telemetry == exporter.url() + "/device-metrics");
  CHECK(before->features->speculative == FeatureSetting{"ngram", SettingSource::kPlan});
  first->stop();
  const test::StandIn second(with_bundle({"--dialect", "vllm", "--kv-cache", "fp8", "--port", port}));
  const test::ProgramRun other = test::run_program({"run", "--resume", folder});
  CHECK(other.status == 6);
  CHECK(test::contains(other.err,
                       "kv_cache: expected the plan and the server to agree; the plan has auto, the server has fp8"));
}

TEST_CASE("the GPUs of this machine are read beside a row whose server computes on them") {
  const test::StandIn server(with_bundle({"--dialect", "vllm"}));
  const test::ScratchFolder libraries;
  std::filesystem::create_symlink(SS_FAKE_NVML, libraries.path() / "libnvidia-ml.so.1");
  test::ProgramOptions options;
  options.environment = {{"LD_LIBRARY_PATH", libraries.path().string()}};
  const SystemRun measured("it=" + server.url() + ",preset=vllm,telemetry=local:GPU-0000+GPU-1111+GPU-0000", {},
                           options);
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  std::map<std::string, double> readings;
  const nlohmann::json summary = measured.summary();
  for (const nlohmann::json& reading : summary.at("cells").at(0).at("telemetry")) {
    if (reading.at("value").is_number()) readings[reading.at("name")] = reading.at("value");
  }
  CHECK(readings["device_power_w"] == Approx(3 * 432.1));
  CHECK(readings["device_clock_hz"] == Approx(1.755e9));
  CHECK(readings["device_temperature_c"] == 66);
  CHECK_FALSE(readings.contains("process_device_memory_bytes"));
}

TEST_CASE("a row is measured where the sensors of its GPUs cannot be read, and the reason is kept") {
  const test::StandIn server(with_bundle({"--dialect", "vllm"}));
  const SystemRun measured("it=" + server.url() + ",preset=vllm,telemetry=local:GPU-of-nobody");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  int n_found = 0;
  for (const JournalLine& line : measured.stored().journal.lines) {
    const auto* const repetition = std::get_if<Repetition>(&line);
    if (repetition == nullptr) continue;
    const auto power = std::ranges::find(repetition->telemetry, "device_power_w", &TelemetryReading::name);
    REQUIRE(power != repetition->telemetry.end());
    CHECK_FALSE(power->value);
    CHECK(test::contains(power->why_not, "not available: "));
    ++n_found;
  }
  CHECK(n_found == 1);
}

TEST_CASE("what a server says of itself is beside each row") {
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--gap-ms", "60", "--key", "s3cret-of-the-test"}));
  const test::StandIn exporter({});
  test::ProgramOptions options;
  options.environment = {{"SECONDSOURCE_TEST_KEY", "s3cret-of-the-test"}};
  const SystemRun measured("it=" + server.url() + ",preset=vllm,key_env=SECONDSOURCE_TEST_KEY,telemetry=" +
                               exporter.url() + "/device-metrics",
                           {}, options);
  const test::ProgramRun& run = measured.run();
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  std::map<std::string, double> readings;
  const nlohmann::json summary = measured.summary();
  for (const nlohmann::json& reading : summary.at("cells").at(0).at("telemetry")) {
    if (reading.at("value").is_number()) readings[reading.at("name")] = reading.at("value");
  }
  CHECK(readings["server_requests_running_max"] >= 1);
  CHECK(readings["server_requests_running_max"] <= 2);
  CHECK(readings["server_requests_waiting_max"] == 2);
  CHECK(readings["server_kv_cache_utilisation_max"] == 0.25);
  CHECK(readings["server_prefix_hit_share"] == 0.25);
  CHECK(readings["server_metrics_failed_count"] == 0);
  // Between the start and the end of the repetition, the server counts exactly the four requests of six tokens. If the machine was
  // too busy to get a fresh page of metrics at either of these times, the repetition counts a late page instead.
  if (!readings.contains("server_metrics_late_count")) {
    CHECK(readings["server_output_tokens_count"] == 24);
    CHECK(readings["server_preemptions_count"] == 12);
  }
  // The exporter answers a request that contains the server's API key with an error, so this reading proves that none was sent.
  CHECK(readings["device_power_w"] == 550.5);
  const test::ProgramRun html = test::run_program({"report", measured.folder().string(), "--format", "html"});
  for (const char* heading : {"server requests running", "server requests waiting, most", "server preemptions",
                              "server prefix hit", "device power"}) {
    CAPTURE(heading);
    CHECK(test::contains(html.out, heading));
  }
  const test::ProgramRun verified = test::run_program({"verify", measured.folder().string()});
  CAPTURE(verified.out, verified.err);
  CHECK(verified.status == 0);
}

TEST_CASE("a server whose metrics are absent, broken, endless or slow is measured all the same") {
  const auto [how, part] = GENERATE(table<std::string, std::string>(
      {{"off", "Start it with"}, {"broken", "expected a number"}, {"huge", "at most 4194304 bytes"}, {"slow", ""}}));
  CAPTURE(how);
  const test::StandIn server(with_bundle({"--dialect", "vllm", "--metrics", how}));
  const SystemRun measured("it=" + server.url() + ",preset=vllm");
  CAPTURE(measured.run().out, measured.run().err);
  CHECK(measured.run().status == 0);
  CHECK(measured.summary().at("cells").at(0).at("n_errors") == 0);
  if (part.empty()) return;
  const test::ProgramRun html = test::run_program({"report", measured.folder().string(), "--format", "html"});
  CHECK(test::contains(html.out, "server metrics: not available: "));
  CHECK(test::contains(html.out, part));
}

TEST_CASE("rows of different settings are labelled, and never compared without a label") {
  const test::StandIn plain(with_bundle({"--dialect", "sglang"}));
  const test::StandIn other(with_bundle({"--dialect", "sglang", "--speculative", "EAGLE3", "--prefix-cache", "false"}));
  const SystemRun base("it=" + plain.url() + ",preset=sglang");
  const SystemRun candidate("it=" + other.url() + ",preset=sglang", {"--baseline", base.folder().string()});
  CAPTURE(candidate.run().out, candidate.run().err);
  CHECK(test::contains(candidate.run().out, "it: speculative decoding EAGLE3 (server), prefix cache off (server)"));
  const test::ProgramRun gate =
      test::run_program({"gate", base.folder().string(), candidate.folder().string(), "--format", "markdown"});
  CAPTURE(gate.out, gate.err);
  CHECK(test::contains(gate.out,
                       "it: speculative decoding differs: the base has off (server), the candidate EAGLE3 (server)"));
  CHECK(test::contains(gate.out, "it: the prefix cache differs: the base has on (server), the candidate off (server)"));
  CHECK_FALSE(test::contains(gate.out, "not comparable"));
  const test::ProgramRun both = test::run_program({"report", base.folder().string(), candidate.folder().string()});
  CHECK(test::contains(both.out, "settings"));
  CHECK(test::contains(both.out, "speculative EAGLE3, prefix cache off, KV cache auto"));
  // A system that does not report its settings is not comparable with one that does.
  const test::StandIn vllm(with_bundle({"--dialect", "vllm"}));
  const SystemRun told("it=" + vllm.url() + ",preset=vllm");
  const SystemRun silent("it=" + vllm.url() + ",preset=vllm,metrics=none");
  const test::ProgramRun refused =
      test::run_program({"gate", told.folder().string(), silent.folder().string(), "--format", "markdown"});
  CAPTURE(refused.out, refused.err);
  CHECK(refused.status == 6);
  CHECK(test::contains(refused.out, "the prefix cache is on (server) in the base and unknown in the candidate"));
  // The two configurations are separate series in a history.
  const test::ScratchFolder scratch;
  const std::string database = (scratch.path() / "history.db").string();
  for (const SystemRun* run : {&base, &candidate}) {
    const auto added = test::run_program({"history", "add", run->folder().string(), "--db", database});
    CAPTURE(added.err);
    CHECK(added.status == 0);
  }
  const test::ProgramRun exported = test::run_program({"history", "export", "--db", database, "--format", "jsonl"});
  CAPTURE(exported.out, exported.err);
  CHECK(test::contains(exported.out, "speculative=off prefix_cache=on kv_cache=auto"));
  CHECK(test::contains(exported.out, "speculative=EAGLE3 prefix_cache=off kv_cache=auto"));
}

TEST_CASE("a plan names servers as the command line does") {
  const test::StandIn server(with_bundle({"--dialect", "sglang"}));
  const test::ScratchFolder scratch;
  const auto plan = scratch.path() / "plan.yaml";
  REQUIRE_OK(write_file(plan, "version: 1\nbundles: ['" + kDefaultBundle +
                                  "']\nscenarios: ['single-stream+requests=3@/4']\n" +
                                  "repetitions: 1\nsystems:\n  - {name: sg, url: '" + server.url() +
                                  "', preset: sglang, variant: int8, timeout: 20}\n"));
  const test::ProgramRun run =
      test::run_program({"run", "--config", plan.string(), "--out", (scratch.path() / "run").string(), "--dry-run"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 0);
  CHECK(test::contains(run.out, "default/sg/int8/single-stream"));
}

TEST_CASE("run --system: what cannot be measured is refused in one line with status 2") {
  const test::StandIn server({});
  const std::string url = server.url();
  struct Case {
    std::vector<std::string> more;
    const char* part;
  };
  const Case cases[] = {
      {{"--system", "it"}, "expected NAME=URL"},
      {{"--system", "it=" + url + ",preset=nothing"}, "preset: expected one of vllm"},
      {{"--system", "it=http://me:s3cret@h"}, "no user, password"},
      {{"--system", "cpu=" + url}, "expected a name of its own"},
      {{"--system", "it=" + url, "--system", "it=" + url}, "expected a name of its own"},
      {{"--system", "it=" + url + ",variant=int3"}, "variant: expected one of bundle default"},
      {{"--system", "it=" + url + ",bundle=other"}, "bundle: expected one of this run"},
      {{"--system", "it=" + url + ",key_env=SECONDSOURCE_NO_SUCH_KEY"},
       "expected it to hold the API key, found it not set"},
      {{"--system", "it=" + url, "--fault", "it=crash:1"}, "fault"},
  };
  for (const Case& one : cases) {
    std::vector<std::string> arguments = {"run", kDefaultBundle, "--out", "/nowhere/run"};
    arguments.insert(arguments.end(), one.more.begin(), one.more.end());
    arguments.emplace_back("--dry-run");
    test::check_refused(test::run_program(arguments), one.part);
  }
}

}  // namespace secondsource
