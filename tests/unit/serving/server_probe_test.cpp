// Against the stand-in server, which says of itself what each kind of server says.

#include "serving/server_probe.h"

#include <cstdlib>

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
      {{"vllm", 1}, {"sglang", 2}, {"tgi", 2}, {"llama-server", 3}, {"ollama", 0}, {"openvino", 1}}));
  CAPTURE(preset);
  const StandIn server({"--dialect", preset, "--version", "9.8.7"});
  const ProbedSystem probed = probe_of(server.url(), ",preset=" + preset);
  CHECK(probed.unavailable.empty());
  CHECK(probed.record.model == "stand-in");
  CHECK(probed.record.version == "9.8.7");
  CHECK(probed.record.settings.size() == n_settings);
  for (const auto& [name, value] : probed.record.settings) CHECK(value.find("secret") == std::string::npos);
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
