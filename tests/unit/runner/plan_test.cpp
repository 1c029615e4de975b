#include <unistd.h>

#include <fstream>

#include "record/run_settings.h"
#include "runner/plan_file.h"
#include "runner/scenario_text.h"
#include "support/result.h"
#include "systems/workload.h"

namespace secondsource {
namespace {

TEST_CASE("scenarios are understood as people and records write them") {
  const std::pair<const char*, const char*> cases[] = {
      {"single-stream", "single-stream"},
      {"offline:16", "offline-b16"},
      {"offline-b16", "offline-b16"},
      {"server:2.5", "server-r2.5"},
      {"server-r4", "server-r4"},
      {"offline:1@256/32", "offline-b1"},
      {"server:8+gamma=0.25", "server-r8+gamma=0.25"},
      {"server-r8+constant", "server-r8+constant"},
      {"server:slo-max", "server-slo-max"},
      {"server-slo-max+constant", "server-slo-max+constant"},
      {"server:trace=/a+b@c/azure.csv+speed=10", "server-trace=azure+speed=10"},
      {"offline:16+static", "offline-b16+static"},
      {"single-stream+prefix=512+requests=9@600/8", "single-stream+prefix=512"},
      {"offline:4+cancel=0.2:8", "offline-b4+cancel=0.2:8"},
      {"server-r4+cancel=0.2:8", "server-r4+cancel=0.2:8"},
      {"offline:4+turns=3@16/8", "offline-b4+turns=3"},
      {"offline-b4+turns=3+think=0.5", "offline-b4+turns=3+think=0.5"},
      {"offline:4+turns=3+think=0", "offline-b4+turns=3"},
      {"server:2+gamma=0.5+turns=1000+think=exp:2.5+requests=2000", "server-r2+gamma=0.5+turns=1000+think=exp:2.5"},
      {"swap:24MiB+zipf=1", "swap-24MiB+zipf=1"},
      {"swap:2models", "swap-2models"},
      {"swap-1model+shares=3:1", "swap-1model+shares=3:1"},
  };
  for (const auto& [text, name] : cases) {
    CAPTURE(text);
    const auto parsed = parse_scenario(text);
    REQUIRE_OK(parsed);
    REQUIRE(parsed->size() == 1);
    CHECK(parsed->front().name() == name);
    CHECK(basis_of(load_of_name(name)) == basis_of(parsed->front()));
    CHECK(load_of_name(name).has_conversations() == parsed->front().has_conversations());
  }
  const auto lengths = parse_scenario("offline:1@256/32");
  CHECK(lengths->front().n_prompt_tokens == 256);
  CHECK(lengths->front().n_output_tokens == 32);
  CHECK(parse_scenario("single-stream@/64")->front().n_output_tokens == 64);
  CHECK(parse_scenario("offline")->size() == 4);
  CHECK(parse_scenario("offline+dynamic")->back().name() == "offline-b64+dynamic");
  CHECK(parse_scenario("single-stream+prefix=512+requests=9@600/8")->front().n_requests == 9);
  const auto trace = parse_scenario("server:trace=/a+b@c/azure.csv+speed=10@512/64");
  CHECK(trace->front().trace == "/a+b@c/azure.csv");
  CHECK(trace->front().n_output_tokens == 64);
}

TEST_CASE("a scenario that is none is refused with what is expected") {
  for (const char* text : {"",
                           "single",
                           "offline:0",
                           "offline:-1",
                           "offline:16x",
                           "offline:99999",
                           "server:0",
                           "server:nan",
                           "server:",
                           "server",
                           "single-stream@",
                           "single-stream@a/b",
                           "offline:4@-1/2",
                           "server:8+gamma",
                           "server:8+gamma=0",
                           "offline:4+gamma=1",
                           "server:8+speed=2",
                           "server:trace=",
                           "server:trace=x+constant",
                           "single-stream+prefix=0",
                           "single-stream+slow",
                           "single-stream+cancel=0.2",
                           "single-stream+cancel=1.5:8",
                           "single-stream+cancel=0.2:0",
                           "server:slo-max+cancel=0.2:8",
                           "swap:0models",
                           "swap:models",
                           "swap:24MiB+cancel=0.2:8",
                           "server:8+",
                           "offline+requests=0"}) {
    CAPTURE(text);
    CHECK_ERROR(parse_scenario(text), ErrorCode::kInvalidInput, "expected single-stream, offline");
  }
}

TEST_CASE("modifiers of a scenario that repeat or contradict each other are refused") {
  const std::pair<const char*, const char*> cases[] = {
      {"server:5+constant+gamma=2", "expected +constant or +gamma=2, found both"},
      {"offline:4+requests=3+requests=30", "expected +requests=3 or +requests=30, found both"},
      {"offline:4+requests=3+requests=3", "expected +requests=3 once, found it twice"},
      {"offline:4+turns=3+turns=4", "expected +turns=3 or +turns=4, found both"},
      {"offline:4+static+prefix=9+dynamic", "expected +static or +dynamic, found both"},
      {"swap:24MiB+zipf=1+shares=1:1", "expected +zipf=1 or +shares=1:1, found both"},
  };
  for (const auto& [text, words] : cases) {
    CAPTURE(text);
    CHECK_ERROR(parse_scenario(text), ErrorCode::kInvalidInput, words);
  }
}

TEST_CASE("conversations that are none are refused with what is expected of them") {
  const std::pair<const char*, const char*> cases[] = {
      {"offline:4+turns=0", "+turns=0: expected +turns=COUNT, 2 to 1000 turns"},
      {"offline:4+turns=1", "2 to 1000 turns"},
      {"offline:4+turns=1001", "2 to 1000 turns"},
      {"offline:4+turns=-3", "2 to 1000 turns"},
      {"offline:4+turns", "expected +turns=COUNT"},
      {"offline:4+turns=two", "expected +turns=COUNT"},
      {"offline:4+turns=3+think=-1", "+think=-1: expected +think=SECONDS or +think=exp:SECONDS, 0 to 3600 s"},
      {"offline:4+turns=3+think=nan", "0 to 3600 s"},
      {"offline:4+turns=3+think=3601", "0 to 3600 s"},
      {"offline:4+turns=3+think=exp:-1", "0 to 3600 s"},
      {"offline:4+turns=3+think", "expected +think=SECONDS"},
      {"offline:4+think=1", "expected +turns=COUNT beside +think"},
      {"single-stream+turns=3", "expected +turns only with offline:USERS"},
      {"server:slo-max+turns=3", "expected +turns only with offline:USERS"},
      {"server:trace=x.csv+turns=3", "expected +turns only with offline:USERS"},
      {"swap:2models+turns=3", "expected +turns only with offline:USERS"},
      {"offline:4+turns=3+cancel=0.5:2", "expected +turns or +cancel, found both"},
      {"offline:4+prefix=9+turns=3", "expected +turns or +prefix, found both"},
      {"offline:4+turns=3+requests=10", "+requests=10: expected whole conversations, a multiple of 3 requests"},
  };
  for (const auto& [text, words] : cases) {
    CAPTURE(text);
    CHECK_ERROR(parse_scenario(text), ErrorCode::kInvalidInput, words);
  }
  const auto parsed = parse_scenario("server:2+turns=3+think=exp:2.5+requests=9@16/8");
  REQUIRE_OK(parsed);
  CHECK(parsed->front().turns == 3);
  CHECK(parsed->front().think_s == 2.5);
  CHECK(parsed->front().think == ThinkKind::kExponential);
  CHECK(parsed->front().n_requests == 9);
}

TEST_CASE("people who think make the output rate a load, and not a capacity") {
  const auto basis = [](const char* text) { return basis_of(parse_scenario(text)->front()); };
  CHECK(basis("offline:4+turns=3") == ThroughputBasis::kSaturation);
  CHECK(basis("offline:4+turns=3+think=0.5") == ThroughputBasis::kOfferedLoad);
  CHECK(basis("server:4+turns=3") == ThroughputBasis::kOfferedLoad);
  CHECK(basis("offline:4") == ThroughputBasis::kSaturation);
}

TEST_CASE("settings come back from a run record as they went in") {
  RunSettings settings;
  settings.threads = 3;
  settings.cpus = {0, 2, 3};
  settings.memory_max_bytes = 123;
  settings.max_time_s = 1.5;
  settings.step_deadline_s = 0.25;
  settings.named_backends = {"cpu", "onednn"};
  settings.strict = true;
  settings.trace_file = "/tmp/trace.json";
  settings.noise_limit = 0.05;
  RunSettings back;
  REQUIRE_OK(assign_pairs(back, to_pairs(settings), "run.json: settings"));
  CHECK(back == settings);
  REQUIRE_OK(assign_pairs(back, to_pairs(RunSettings()), "run.json: settings"));
  CHECK(back == RunSettings());
  // A run that recorded no settings is not shown with the current defaults.
  REQUIRE_OK(assign_pairs(back, {}, "run.json: settings"));
  CHECK_FALSE(back.is_recorded);
  CHECK(to_pairs(back).empty());
  CHECK_ERROR(assign_pairs(back, {{"threads", "many"}}, "run.json: settings"), ErrorCode::kInvalidInput,
              "run.json: settings: threads");
}

TEST_CASE("sizes, times, CPU lists and faults of the flags") {
  CHECK(*parse_bytes("8GiB") == std::int64_t{8} << 30);
  CHECK(*parse_bytes("1000000") == 1'000'000);
  CHECK(*parse_bytes("1.5MiB") == 1'572'864);
  CHECK(*parse_memory_max("16MiB") == std::int64_t{16} << 20);
  for (const char* text : {"1", "1000000", "15MiB"}) {
    CAPTURE(text);
    CHECK_ERROR(parse_memory_max(text), ErrorCode::kInvalidInput, "expected at least 16.0 MiB");
  }
  CHECK_ERROR(parse_memory_max("lots"), ErrorCode::kInvalidInput, "expected a size");
  CHECK(*parse_seconds("90") == 90);
  CHECK(*parse_seconds("5min") == 300);
  CHECK(*parse_seconds("250ms") == Approx(0.25));
  CHECK(*parse_cpu_list("0,2-4") == std::vector<std::int32_t>{0, 2, 3, 4});
  CHECK(parse_fault_flags({"cpu=slow:50"})->front().second == "slow:50");
  const auto option = parse_backend_option_flag("cpu:kv=int8");
  REQUIRE(option);
  CHECK(option->backend == "cpu");
  CHECK(option->key == "kv");
  CHECK(option->value == "int8");
  CHECK(*parse_device_flag("cuda=MIG-1") == std::pair<std::string, std::string>("cuda", "MIG-1"));
  CHECK(*parse_device_flag("1") == std::pair<std::string, std::string>("", "1"));
  CHECK_FALSE(parse_device_flag("=1"));
  CHECK_FALSE(parse_device_flag("cuda="));
  for (const char* text : {"", "-1", "8 GiB", "8XiB", "nan", "inf", "1e30GiB"}) {
    CAPTURE(text);
    CHECK_ERROR(parse_bytes(text), ErrorCode::kInvalidInput, "expected a size");
    CHECK_FALSE(parse_seconds(text));
  }
  for (const char* text : {"", "a", "1-", "3-1", "-2", "99999", "0-4095,0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_cpu_list(text));
  }
  CHECK_FALSE(parse_fault_flags({"cpu"}));
  CHECK_FALSE(parse_fault_flags({"=crash"}));
  CHECK_FALSE(parse_fault_flags({"cpu=crash", "cpu=slow:50"}));
  for (const char* bad : {"cpu", "cpu:kv", ":kv=int8", "cpu:=int8", "cpu:threads=2", "cpu:env:PATH=x"}) {
    CHECK_FALSE(parse_backend_option_flag(bad));
  }
}

std::filesystem::path write_plan(const std::string& text) {
  const auto path = std::filesystem::temp_directory_path() / ("ss-plan-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(path) << text;
  return path;
}

TEST_CASE("a plan file is read whole") {
  const auto path = write_plan(R"(version: 1
bundles: [bundles/default]
suite: full
backends: [cpu, onednn]
variants: [bf16]
scenarios: [single-stream, "offline:16"]
batching: static
shared_prefix: 64
slo: "ttft_ms=500,tpot_ms=30"
noise_limit_percent: 10
repetitions: 5
seed: 42
threads: 2
cpus: "0-1"
memory_max: 4GiB
max_time: 10min
price: {usd_per_hour: 1.2, per: instance}
gate: {threshold_percent: 5, waivers: waivers.yaml}
)");
  const auto plan = read_plan_file(path);
  REQUIRE_OK(plan);
  CHECK(plan->request.bundles.front() == path.parent_path() / "bundles/default");
  CHECK(plan->request.suite == "full");
  CHECK(plan->request.backends == std::vector<std::string>{"cpu", "onednn"});
  CHECK(plan->request.scenarios.size() == 2);
  CHECK(plan->request.repetitions == 5);
  CHECK(plan->request.batching == Batching::kStatic);
  CHECK(plan->request.n_shared_prefix == 64);
  CHECK(plan->request.slo->tpot_ms == 30);
  CHECK(plan->request.settings.noise_limit == Approx(0.1));
  CHECK(plan->request.seed == 42);
  CHECK(plan->request.settings.cpus == std::vector<std::int32_t>{0, 1});
  CHECK(plan->request.settings.memory_max_bytes == std::int64_t{4} << 30);
  CHECK(plan->request.settings.max_time_s == 600);
  CHECK(plan->price == "1.2");
  CHECK(plan->gate.threshold_percent == 5);
  CHECK(plan->gate.waivers == path.parent_path() / "waivers.yaml");
}

TEST_CASE("a plan file with a mistake is refused with its place") {
  const std::pair<const char*, const char*> cases[] = {
      {"bundles: [x]\n", "version"},
      {"version: 2\n", "version"},
      {"version: 1\nbackend: [cpu]\n", "backend"},
      {"version: 1\nrepetitions: 0\n", "repetitions"},
      {"version: 1\nmemory_max: lots\n", "memory_max"},
      {"version: 1\nmemory_max: 1\n", "memory_max: expected at least 16.0 MiB"},
      {"version: 1\nbackends: [cpu, cpu]\n", "expected each word once, found \"cpu\" twice"},
      {"version: 1\nvariants: [bf16, int8, bf16]\n", "expected each word once, found \"bf16\" twice"},
      {"version: 1\nslo: fast\n", "SLO \"fast\""},
      {"version: 1\nbatching: clever\n", "continuous, static, dynamic"},
      {"version: 1\nprice: {usd_per_hour: 1, row: x}\n", "price"},
      {"version: 1\ngate: {treshold: 5}\n", "treshold"},
  };
  for (const auto& [text, part] : cases) {
    CAPTURE(text);
    CHECK_ERROR(read_plan_file(write_plan(text)), ErrorCode::kInvalidInput, part);
  }
}

TEST_CASE("random prompts depend on seed, index and length alone, and cover the vocabulary") {
  const auto ids = random_prompt(1, 0, 4096, 100);
  CHECK(ids == random_prompt(1, 0, 4096, 100));
  CHECK(ids != random_prompt(1, 1, 4096, 100));
  CHECK(ids != random_prompt(2, 0, 4096, 100));
  std::vector<int> seen(100);
  for (const std::int32_t id : ids) {
    REQUIRE(id >= 0);
    REQUIRE(id < 100);
    ++seen[static_cast<std::size_t>(id)];
  }
  for (const int count : seen) CHECK(count > 0);
}

}  // namespace
}  // namespace secondsource
