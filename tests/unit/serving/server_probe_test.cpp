// Tests the probe with the stand-in server, which reports about itself what each kind of server reports.

#include "serving/server_probe.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "record/records.h"
#include "support/stand_in.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProbedSystem probe_of(const std::string& url, const std::string& parts) {
  const auto request = parse_system_flag("it=" + url + parts);
  REQUIRE_OK(request);
  const auto probed = probe_server(*request);
  REQUIRE_OK(probed);
  return *probed;
}

}  // namespace

TEST_CASE("the version and the settings of a server are read as its preset says") {
  const auto [preset, n_settings] = GENERATE(table<std::string, std::size_t>(
      {{"vllm", 1}, {"sglang", 4}, {"tgi", 2}, {"llama-server", 3}, {"ollama", 0}, {"openvino", 1}}));
  CAPTURE(preset);
  const StandIn server({"--dialect", preset, "--version", "9.8.7"});
  const ProbedSystem probed = probe_of(server.url(), ",preset=" + preset);
  CHECK(probed.unavailable.empty());
  CHECK(probed.record.model == "stand-in");
  CHECK(probed.record.version == "9.8.7");
  CHECK(probed.record.settings.size() == n_settings);
  for (const auto& [name, value] : probed.record.settings) CHECK(value.find("secret") == std::string::npos);
}

TEST_CASE("the settings by which rows are labelled are read where a server tells them") {
  const auto [preset, options, told] = GENERATE(table<std::string, std::vector<std::string>, std::string>({
      {"vllm", {}, "speculative decoding unknown, prefix cache on (server), KV cache auto (server)"},
      {"vllm",
       {"--prefix-cache", "false", "--kv-cache", "fp8"},
       "speculative decoding unknown, prefix cache off (server), KV cache fp8 (server)"},
      {"vllm", {"--metrics", "broken"}, "speculative decoding unknown, prefix cache unknown, KV cache unknown"},
      {"sglang", {}, "speculative decoding off (server), prefix cache on (server), KV cache auto (server)"},
      {"sglang",
       {"--speculative", "EAGLE3", "--prefix-cache", "false", "--kv-cache", "fp8_e5m2"},
       "speculative decoding EAGLE3 (server), prefix cache off (server), KV cache fp8_e5m2 (server)"},
      {"llama-server", {}, "speculative decoding off (server), prefix cache off (request), KV cache unknown"},
      {"llama-server",
       {"--speculative", "draft"},
       "speculative decoding on (server), prefix cache off (request), KV cache unknown"},
      {"tgi", {}, "speculative decoding unknown, prefix cache unknown, KV cache unknown"},
  }));
  CAPTURE(preset, options);
  std::vector<std::string> all = {"--dialect", preset};
  all.insert(all.end(), options.begin(), options.end());
  const StandIn server(all);
  const ProbedSystem probed = probe_of(server.url(), ",preset=" + preset);
  REQUIRE(probed.record.features);
  CHECK(features_text(*probed.record.features) == told);
  CHECK(probed.record.metrics == server.url() + "/metrics");
  CHECK(probed.record.telemetry.empty());
}

TEST_CASE("a plan's words stand where the server says nothing, and one that it denies is refused") {
  const StandIn server({"--dialect", "vllm"});
  const ProbedSystem said =
      probe_of(server.url(), ",preset=vllm,speculative=ngram,prefix_cache=on,metrics=none,telemetry=http://h:9400");
  REQUIRE(said.record.features);
  CHECK(features_text(*said.record.features) ==
        "speculative decoding ngram (plan), prefix cache on (plan), KV cache unknown");
  CHECK(said.record.metrics.empty());
  CHECK(said.record.telemetry == "http://h:9400/metrics");
  CHECK(probe_of(server.url(), ",preset=vllm,prefix_cache=off").unavailable ==
        "prefix_cache: expected the plan and the server to agree; the plan has off, the server has on");
}

TEST_CASE("a server of an unknown kind has a model and nothing else to tell") {
  const StandIn server({});
  const ProbedSystem probed = probe_of(server.url(), "");
  CHECK(probed.record.model == "stand-in");
  CHECK(probed.record.version.empty());
}

TEST_CASE("a server with several models is asked for by name") {
  const StandIn server({"--models", "a,b"});
  CHECK(probe_of(server.url(), "").unavailable.find("model=NAME") != std::string::npos);
  CHECK(probe_of(server.url(), ",model=b").record.model == "b");
}

TEST_CASE("a server that is not there, or refuses the key, is unavailable for that reason") {
  const StandIn server({"--key", "s3cret"});
  const ProbedSystem refused = probe_of(server.url(), "");
  CHECK(refused.unavailable.find("HTTP 401") != std::string::npos);
  ::setenv("SECONDSOURCE_TEST_KEY", "wr0ng", 1);
  const ProbedSystem wrong = probe_of(server.url(), ",key_env=SECONDSOURCE_TEST_KEY");
  CHECK(wrong.unavailable.find("wrong key: Bearer [key]") != std::string::npos);
  CHECK(wrong.unavailable.find("wr0ng") == std::string::npos);
  ::setenv("SECONDSOURCE_TEST_KEY", "s3cret", 1);
  CHECK(probe_of(server.url(), ",key_env=SECONDSOURCE_TEST_KEY").unavailable.empty());
  CHECK(probe_of(server.url(), ",key_env=SECONDSOURCE_TEST_KEY").record.needs_key);
  StandIn gone({});
  const std::string url = gone.url();
  gone.stop();
  CHECK_FALSE(probe_of(url, "").unavailable.empty());
}
