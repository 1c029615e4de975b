// What --base and --cand name, the plans of single systems, what differs between two systems, and what their starts cost.

#include <filesystem>

#include "ab/sittings.h"
#include "ab/system_differences.h"
#include "ab/under_test.h"
#include "pair_lines.h"
#include "runner/plan_file.h"
#include "runner/system_plan.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

constexpr const char* kPlan = R"(version: 1
systems:
  - name: next
    preset: vllm
    variant: bf16
    start: [python3, serve.py, "a: b #", --port, '{port}']
    env: {A: "1", B: "x y"}
    stop: [kill-it, '{port}']
    start_deadline: 90s
  - name: image
    preset: vllm
    image: docker.io/vllm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    options: [--shm-size, 8g]
    start: [--port, '{port}']
  - {name: there, url: 'https://a.example:8443/v1', preset: sglang, api: chat, timeout: 12.5, devices: 4, key_env: KEY}
  - {name: hf, adapter: transformers, options: {dtype: bfloat16}, variant: bf16}
)";

std::vector<SystemRequest> planned() {
  const auto plan = parse_plan(kPlan, "/plans/plan.yaml");
  REQUIRE_OK(plan);
  return plan->request.systems;
}

BackendRecord served_backend(std::string version, std::string url) {
  BackendRecord backend;
  backend.name = "it";
  ServedSystem& served = backend.served.emplace();
  served.url = std::move(url);
  served.model = "m";
  served.version = std::move(version);
  return backend;
}

}  // namespace

TEST_CASE("a side names a system of the plan, an address, an adapter or an image; anything else is a program") {
  const std::vector<SystemRequest> systems = planned();
  const auto kind_of = [&](std::string_view text) {
    const auto found = find_system_under_test(text, systems, "image");
    REQUIRE_OK(found);
    return *found ? std::optional((*found)->kind) : std::nullopt;
  };
  CHECK(kind_of("next") == ArmKind::kServer);
  CHECK(kind_of("there") == ArmKind::kEndpoint);
  CHECK(kind_of("hf") == ArmKind::kAdapter);
  CHECK(kind_of("it=http://127.0.0.1:1,preset=vllm") == ArmKind::kEndpoint);
  CHECK(kind_of("it=adapter:transformers") == ArmKind::kAdapter);
  CHECK_FALSE(kind_of("./next"));
  CHECK_FALSE(kind_of("build/bin/secondsource"));
  const std::string other = "docker.io/vllm@sha256:" + std::string(64, 'a');
  const auto image = find_system_under_test(other, systems, "next");
  CHECK_ERROR(image, ErrorCode::kInvalidInput, "expected a system of the plan with an image");
  const auto replaced = find_system_under_test(other, systems, "image");
  REQUIRE_OK(replaced);
  CHECK((*replaced)->system.managed->image == other);
  CHECK((*replaced)->system.managed->engine_options == std::vector<std::string>{"--shm-size", "8g"});
  CHECK_ERROR(find_system_under_test("docker.io/vllm@sha256:12", systems, "image"), ErrorCode::kInvalidInput,
              "expected NAME@sha256:DIGEST");
}

TEST_CASE("the plan of one system is read as the same system again") {
  RunSettings settings;
  settings.cpus = {0, 2};
  settings.memory_max_bytes = std::int64_t{1} << 33;
  settings.step_deadline_s = 7;
  for (const SystemRequest& system : planned()) {
    CAPTURE(system.name);
    const auto plan = parse_plan(system_plan_text(system, settings), "/elsewhere/plan.yaml");
    REQUIRE_OK(plan);
    CHECK(plan->request.settings.cpus == settings.cpus);
    CHECK(plan->request.settings.memory_max_bytes == settings.memory_max_bytes);
    CHECK(plan->request.settings.step_deadline_s == settings.step_deadline_s);
    REQUIRE(plan->request.systems.size() == 1);
    const SystemRequest& again = plan->request.systems.front();
    CHECK(again.name == system.name);
    CHECK(again.url == system.url);
    CHECK(again.preset == system.preset);
    CHECK(again.api == system.api);
    CHECK(again.http == system.http);
    CHECK(again.model == system.model);
    CHECK(again.variant == system.variant);
    CHECK(again.timeout_s == system.timeout_s);
    CHECK(again.n_devices == system.n_devices);
    CHECK(again.key.environment == system.key.environment);
    CHECK((again.managed == system.managed));
    CHECK((again.adapter == system.adapter));
  }
  const SystemRequest kept = kept_at(planned().front(), "http://127.0.0.1:5/v1");
  CHECK_FALSE(kept.managed);
  CHECK(kept.url == "http://127.0.0.1:5/v1");
}

TEST_CASE("what differs between two systems is named with both values, and an address only where it is the plan's") {
  RunRecord base;
  base.backends = {served_backend("1", "http://a/v1")};
  base.host = {{"gpu_driver", "570", ""}, {"load_1min", "3", ""}};
  RunRecord candidate = base;
  CHECK(system_differences(base, candidate).empty());
  base.backends.front().served->features.emplace().kv_cache = {"f16", SettingSource::kCommand};
  candidate.backends.front().served->features.emplace().speculative = {"ngram", SettingSource::kPlan};
  CHECK(
      system_differences(base, candidate) ==
      std::vector<std::string>{"speculative decoding: \"unknown\" and \"ngram\"", "KV cache: \"f16\" and \"unknown\""});
  base.backends.front().served->features = candidate.backends.front().served->features = std::nullopt;
  candidate.backends = {served_backend("2", "http://b/v1")};
  candidate.backends.front().served->settings = {{"kv_cache_dtype", "fp8"}};
  candidate.host = {{"gpu_driver", "580", ""}, {"load_1min", "9", ""}};
  CHECK(system_differences(base, candidate) ==
        std::vector<std::string>{"version: \"1\" and \"2\"", "address: \"http://a/v1\" and \"http://b/v1\"",
                                 "gpu_driver: \"570\" and \"580\"", "kv_cache_dtype: none and \"fp8\""});
  for (RunRecord* const run : {&base, &candidate}) run->backends.front().served->managed.emplace();
  base.backends.front().served->managed->start = {"serve", "--fast", "--port", "{port}"};
  candidate.backends.front().served->managed->start = {"serve", "--fast", "--kv", "fp8", "--port", "{port}"};
  const std::vector<std::string> started = system_differences(base, candidate);
  CHECK(std::ranges::find(started, "start: none and \"--kv fp8\"") != started.end());
  CHECK(std::ranges::none_of(started, [](const std::string& line) { return line.starts_with("address"); }));
  CHECK(is_same_system(served_backend("1", "http://a/v1"), served_backend("1", "http://b/v1")));
  CHECK_FALSE(is_same_system(served_backend("1", "http://a/v1"), served_backend("2", "http://a/v1")));
}

TEST_CASE("the starts' part of the variance is that of a one-way analysis of variance") {
  // Computed with Python's statistics module from the definition of the expected mean squares.
  const auto sigma = start_sigma({{0.01, 0.02, 0.03}, {0.02, 0.04}, {0.07, 0.08, 0.09, 0.08}});
  REQUIRE(sigma);
  CHECK(*sigma == Approx(0.034529808749943755).epsilon(1e-9));
  CHECK(*start_sigma({{0.01, -0.01}, {0.01, -0.01}}) == 0);  // less variance between groups than within
  CHECK_FALSE(start_sigma({{0.01, 0.02}}));
  CHECK_FALSE(start_sigma({{0.01}, {0.02}, {0.03}}));
}

TEST_CASE("a comparison of two systems says how they sat, and that of two programs says nothing") {
  AbRecord record = tiny_record({14, 28});
  std::vector<ProcessLine> lines = pair_lines(8, 0);
  CHECK(sittings_lines(record, lines).empty());
  record.base.kind = record.candidate.kind = ArmKind::kServer;
  record.pairs_per_start = 4;
  for (ProcessLine& line : lines) {
    line.server_start = line.pair / 4;
    line.start_s = line.pair % 4 == 0 ? 1.5 : 0;
  }
  const std::vector<std::string> together = sittings_lines(record, lines);
  REQUIRE(together.size() == 1);
  CHECK(
      together[0].starts_with("sittings: side by side, servers started anew after every 4 pairs: base 2 and candidate "
                              "2 starts, 1.5 s each (median)"));
  CHECK(together[0].find("--pairs-per-start 1") == std::string::npos);
  CHECK(sittings_lines(record, {}) ==
        std::vector<std::string>{"sittings: side by side, servers started anew after every 4 pairs; all pairs of one "
                                 "start share its effects (memory layout, placement)"});
  for (ProcessLine& line : lines) {
    for (CellValue& value : line.values) value.seconds *= line.arm == Arm::kBase || line.pair < 4 ? 1 : 1.2;
  }
  CHECK(sittings_lines(record, lines)[0].find("--pairs-per-start 1") != std::string::npos);
  record.sittings = Sittings::kAlternating;
  record.base.kind = ArmKind::kEndpoint;
  const std::vector<std::string> apart = sittings_lines(record, lines);
  REQUIRE(apart.size() == 2);
  CHECK(apart[0].find("a pair takes 5.0 s (median)") != std::string::npos);
  CHECK(apart[0].find("28 of them can show a slowdown of") != std::string::npos);
  CHECK(apart[1].starts_with("base: its server was running already"));
}
