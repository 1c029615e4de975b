#include "serving/server_metrics.h"

#include <map>
#include <string>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

std::map<std::string, double> readings_of(MetricTranslator& translator, const std::string& page) {
  const auto samples = parse_prometheus_text(page, [&](std::string_view name) { return translator.is_wanted(name); });
  REQUIRE_OK(samples);
  std::map<std::string, double> readings;
  for (const MetricReading& reading : translator.translate(*samples)) readings[reading.name] = reading.value;
  return readings;
}

}  // namespace

TEST_CASE("the metrics of each kind of server have one name each") {
  const auto [page, n_readings] = GENERATE(table<std::string, std::size_t>({
      {"vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n"
       "vllm:num_requests_waiting{engine=\"0\"} 2\nvllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n"
       "vllm:kv_cache_usage_perc{engine=\"1\"} 0.125\n",
       6},
      {"vllm:num_requests_running 7\nvllm:num_requests_waiting 2\nvllm:gpu_cache_usage_perc 0.25\n", 6},
      {"sglang:num_running_reqs{tp_rank=\"0\",priority=\"\"} 7\nsglang:num_running_reqs{tp_rank=\"1\"} 7\n"
       "sglang:num_running_reqs{tp_rank=\"0\",priority=\"2\"} 5\nsglang:num_queue_reqs 2\nsglang:token_usage 0.25\n",
       6},
      {"llamacpp:requests_processing 7\nllamacpp:requests_deferred 2\nllamacpp:kv_cache_usage_ratio 0.25\n", 6},
      {"tgi_batch_current_size 7\ntgi_queue_size 2\n", 4},
  }));
  CAPTURE(page);
  MetricTranslator translator(known_server_metrics());
  auto readings = readings_of(translator, page);
  CHECK(readings.size() == n_readings);
  CHECK(readings["server_requests_running"] == 7);
  CHECK(readings["server_requests_running_max"] == 7);
  CHECK(readings["server_requests_waiting"] == 2);
  if (n_readings == 6) CHECK(readings["server_kv_cache_utilisation"] == 0.25);
}

TEST_CASE("a counter is read as what it grew by, also when the server was started again") {
  MetricTranslator translator(known_server_metrics());
  CHECK(readings_of(translator, "vllm:num_preemptions_total 5\n").empty());
  CHECK(readings_of(translator, "vllm:num_preemptions_total 8\n").at("server_preemptions_count") == 3);
  CHECK(readings_of(translator, "vllm:num_preemptions_total 8\n").at("server_preemptions_count") == 0);
  CHECK(readings_of(translator, "vllm:num_preemptions_total 2\n").at("server_preemptions_count") == 2);
  // A page without the counter does not count as a restart of the server.
  CHECK(readings_of(translator, "vllm:num_requests_running 1\n").count("server_preemptions_count") == 0);
  CHECK(readings_of(translator, "vllm:num_preemptions_total 6\n").at("server_preemptions_count") == 4);
}

TEST_CASE("llama-server counts cached prompt tokens apart from the others") {
  MetricTranslator translator(known_server_metrics());
  (void)readings_of(translator, "llamacpp:prompt_tokens_total 10\nllamacpp:prompt_tokens_cached_total 0\n");
  const auto readings =
      readings_of(translator, "llamacpp:prompt_tokens_total 40\nllamacpp:prompt_tokens_cached_total 70\n");
  CHECK(readings.at("server_prompt_tokens_count") == 30);
  CHECK(readings.at("server_prefix_hit_count") == 70);
  CHECK(readings.at("server_prefix_asked_count") == 100);
}

TEST_CASE("values that are none are left out") {
  MetricTranslator translator(known_server_metrics());
  CHECK(readings_of(translator, "vllm:num_requests_running NaN\nvllm:num_requests_waiting +Inf\n").empty());
}

TEST_CASE("an exporter's devices are summed, averaged or taken at their worst, in our units") {
  MetricTranslator translator(known_device_metrics());
  auto readings = readings_of(
      translator,
      "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 300.5\nDCGM_FI_DEV_POWER_USAGE{gpu=\"1\"} 250\n"
      "DCGM_FI_DEV_SM_CLOCK{gpu=\"0\"} 1980\nDCGM_FI_DEV_SM_CLOCK{gpu=\"1\"} 1020\n"
      "DCGM_FI_DEV_FB_USED{gpu=\"0\"} 1024\nDCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 50\nDCGM_FI_DEV_GPU_UTIL{gpu=\"1\"} 90\n"
      // The second device does not know its temperature: DCGM's blank value.
      "DCGM_FI_DEV_GPU_TEMP{gpu=\"0\"} 61\nDCGM_FI_DEV_GPU_TEMP{gpu=\"1\"} 9223372036854775794\n"
      "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu=\"0\"} 1\nDCGM_FI_DEV_CLOCK_THROTTLE_REASONS{gpu=\"1\"} 68\n");
  CHECK(readings["device_power_w"] == 550.5);
  CHECK(readings["device_clock_hz"] == 1.5e9);
  CHECK(readings["device_memory_used_bytes"] == 1073741824.0);
  CHECK(readings["device_utilisation"] == Approx(0.7));
  CHECK(readings["device_temperature_c"] == 61);
  CHECK(readings["device_throttled_power"] == 1);    // 0x4
  CHECK(readings["device_throttled_thermal"] == 1);  // 0x40
  CHECK(readings["device_throttled_hardware"] == 0);
}

TEST_CASE("no two metrics have one reading, and a server's names mean one thing") {
  for (const auto known : {known_server_metrics(), known_device_metrics()}) {
    for (std::size_t i = 0; i < known.size(); ++i) {
      for (std::size_t j = i + 1; j < known.size(); ++j) CHECK(known[i].reading != known[j].reading);
      CHECK_FALSE(known[i].names.front().empty());
      // Readers of a record treat a reading according to the ending of its name.
      CHECK(known[i].reading.ends_with("_count") == (known[i].meaning == MetricMeaning::kSince));
      CHECK((known[i].meaning == MetricMeaning::kReasons) == (known[i].bits != 0));
    }
  }
}
