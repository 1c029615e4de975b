#include "serving/endpoint.h"

#include <string>

#include "serving/http_client.h"
#include "serving/preset.h"
#include "serving/server_url.h"
#include "serving/telemetry_place.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

TEST_CASE("a system is named with its URL and what is to be known of it") {
  const auto system = parse_system_flag(
      "vllm=http://127.0.0.1:8000,preset=vllm,api=chat,http=1.1,model=a/b,variant=bf16,bundle=default,timeout=2.5,devices=8,"
      "key_env=KEY");
  REQUIRE_OK(system);
  CHECK(system->name == "vllm");
  CHECK(system->url == "http://127.0.0.1:8000/v1");
  CHECK(system->preset == ServerPreset::kVllm);
  CHECK(system->api == ServedApi::kChat);
  CHECK(system->http == HttpVersion::kHttp1);
  CHECK(system->model == "a/b");
  CHECK(system->variant == "bf16");
  CHECK(system->bundle == "default");
  CHECK(system->timeout_s == 2.5);
  CHECK(system->n_devices == 8);
  CHECK(system->key.environment == "KEY");
  const auto plain = parse_system_flag("it=https://example.org/api/v1/");
  REQUIRE_OK(plain);
  CHECK(plain->url == "https://example.org/api/v1");
  CHECK(plain->preset == ServerPreset::kAny);
  CHECK(plain->key.is_empty());
  CHECK(parse_system_flag("ov=http://h:9,preset=openvino")->url == "http://h:9/v3");
}

TEST_CASE("a server's metrics are where its preset or the plan says") {
  const auto [parts, url] = GENERATE(table<std::string, std::string>({
      {"", ""},
      {",preset=vllm", "http://h:9/metrics"},
      {",preset=vllm,metrics=none", ""},
      {",metrics=/stats/prometheus", "http://h:9/stats/prometheus"},
      {",metrics=https://other:1", "https://other:1/metrics"},
      {",metrics=http://other:1/a/b", "http://other:1/a/b"},
  }));
  CAPTURE(parts);
  const auto system = parse_system_flag("it=http://h:9" + parts);
  REQUIRE_OK(system);
  CHECK(metrics_url(*system) == url);
  CHECK(parse_system_flag("it=http://h:9,telemetry=http://g:9400")->telemetry == "http://g:9400/metrics");
  const auto features = parse_system_flag("it=http://h:9,speculative=false,prefix_cache=yes,kv_cache=fp8")->features;
  CHECK(features == PlannedFeatures{.speculative = "off", .prefix_cache = "on", .kv_cache = "fp8"});
}

TEST_CASE("a system that cannot be one is refused in one line") {
  const auto [text, part] = GENERATE(table<std::string, std::string>({
      {"", "expected NAME=URL"},
      {"vllm", "expected NAME=URL"},
      {"=http://h", "expected NAME=URL"},
      {"vllm=", "expected NAME=URL"},
      {"a/b=http://h", "expected a name of letters"},
      {"..=http://h", "expected a name of letters"},
      {"a=ftp://h", "expected http or https"},
      {"a=file:///etc/passwd", "expected http or https"},
      {"a=not a url", "expected an address"},
      {"a=http://user:s3cret@h", "no user, password"},
      {"a=http://h/v1?api_key=s3cret", "no user, password"},
      {"a=http://h/v1#s3cret", "no user, password"},
      {"a=http://h,preset=vlm", "preset: expected one of vllm"},
      {"a=http://h,api=images", "api: expected one of completions, chat"},
      {"a=http://h,timeout=0", "timeout: expected seconds"},
      {"a=http://h,timeout=nan", "timeout: expected seconds"},
      {"a=http://h,devices=0", "devices: expected a number"},
      {"a=http://h,key=s3cret", "expected one of the settings preset, api"},
      {"a=http://h,model=", "expected NAME=URL"},
      {"a=http://h,key_env=A,key_file=B", "found both"},
      {"a=http://h,metrics=there", "expected a URL, a path such as /metrics, or none"},
      {"a=http://h,telemetry=http://me:s3cret@h", "no user, password"},
      {"a=http://h,telemetry=local:", "expected local, local:ID+ID"},
      {"a=http://h,telemetry=local:GPU-1++GPU-2", "expected local, local:ID+ID"},
      {"a=http://h,telemetry=localhost:9400", "expected an address"},
      {"a=adapter:transformers,telemetry=http://g:9400", "an adapter runs on this machine"},
      {"a=http://h,prefix_cache=maybe", "prefix_cache: expected on or off"},
  }));
  CAPTURE(text);
  const auto system = parse_system_flag(text);
  CHECK_ERROR(system, ErrorCode::kInvalidInput, part);
  CHECK(system.error().message.find("s3cret") == std::string::npos);
  CHECK(system.error().message.find('\n') == std::string::npos);
}

TEST_CASE("the GPUs of this machine are all of them, or those that are named") {
  CHECK(local_gpu_ids("local") == std::vector<std::string>{});
  CHECK(local_gpu_ids("local:GPU-1+0000:c1:00.0") == std::vector<std::string>{"GPU-1", "0000:c1:00.0"});
  CHECK(local_gpu_ids("") == std::nullopt);
  CHECK(local_gpu_ids("http://g:9400/metrics") == std::nullopt);
  CHECK(parse_system_flag("it=http://h:9,telemetry=local:GPU-1")->telemetry == "local:GPU-1");
  const auto adapter = parse_system_flag("it=adapter:transformers,device=cuda,telemetry=local");
  REQUIRE_OK(adapter);
  CHECK(adapter->adapter->telemetry == "local");
  CHECK(adapter->adapter->options == std::vector<std::pair<std::string, std::string>>{{"device", "cuda"}});
}

TEST_CASE("HTTP/2 without TLS is refused where libcurl cannot use a connection twice") {
  CHECK(has_http2_without_tls(0x075700));
  CHECK_FALSE(has_http2_without_tls(0x075800));
  CHECK_FALSE(has_http2_without_tls(0x075801));
  CHECK(has_http2_without_tls(0x080000));
  CHECK(parse_system_flag("a=https://h,http=2")->http == HttpVersion::kHttp2);
  const auto without = parse_system_flag("a=http://h,http=2");
  if (check_http2_without_tls()) {
    REQUIRE_OK(without);
  } else {
    CHECK_ERROR(without, ErrorCode::kUnsupported, "system a: http: libcurl 7.88");
  }
}

TEST_CASE("a link-local address keeps its zone") {
  const auto url = parse_server_url("http://[fe80::1%25eth0]:9103/", "/v1");
  REQUIRE_OK(url);
  CHECK(url->base == "http://[fe80::1%25eth0]:9103/v1");
  CHECK(url->root == "http://[fe80::1%25eth0]:9103");
  CHECK_FALSE(is_this_machine(url->base));
}

TEST_CASE("the root of a URL is what stands in front of the API's path") {
  CHECK(parse_server_url("http://h:8000", "/v1")->root == "http://h:8000");
  CHECK(parse_server_url("http://h:8000/gateway/v1", "/v1")->root == "http://h:8000/gateway");
}

TEST_CASE("only a loopback address and the name localhost are this machine") {
  for (const char* here : {"http://localhost", "http://localhost:8000/v1", "http://127.0.0.1:8000/v1",
                           "https://127.9.8.7", "http://[::1]:8000/v1", "http://[::1]"}) {
    CAPTURE(here);
    CHECK(is_this_machine(here));
  }
  for (const char* elsewhere : {"http://127.example.org/v1", "http://127.0.0.1.example.org",
                                "http://localhost.example.org:8000", "http://localhosts", "http://128.0.0.1",
                                "http://1.127.0.0", "http://[::2]:8000/v1", "http://[::1.2.3.4]", "http://h:127"}) {
    CAPTURE(elsewhere);
    CHECK_FALSE(is_this_machine(elsewhere));
  }
}

TEST_CASE("every preset says where its API is, and one that scores ids takes or makes them") {
  for (const PresetFacts& facts : all_presets()) {
    CAPTURE(facts.title);
    CHECK(facts.base_path.starts_with('/'));
    CHECK_FALSE(facts.title.empty());
    if (facts.scores != ForcedScores::kNone) CHECK(facts.ids != GeneratedIds::kNone);
    CHECK((facts.timed_fields.find("ignore_eos") != std::string_view::npos) == facts.ignores_eos);
  }
}
