#include "runner/plan_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "core/number.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/yaml.h"
#include "engine/scheduler.h"
#include "fault/fault.h"
#include "record/ranges.h"
#include "record/slo.h"
#include "serving/managed_start.h"

namespace secondsource {
namespace {

Result<std::vector<std::string>> strings(const YamlNode& root, std::string_view key) {
  SS_TRY(const std::vector<YamlNode> nodes, root.list_or_empty(key));
  std::vector<std::string> values;
  for (const YamlNode& node : nodes) {
    SS_TRY(std::string value, node.as_string());
    values.push_back(std::move(value));
  }
  return values;
}

/// A list of words without duplicates, because a duplicate would be measured twice.
Result<std::vector<std::string>> distinct_strings(const YamlNode& root, std::string_view key) {
  SS_TRY(const std::vector<YamlNode> nodes, root.list_or_empty(key));
  SS_TRY(std::vector<std::string> values, strings(root, key));
  for (std::size_t i = 1; i < values.size(); ++i) {
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(values.begin(), end, values[i]) == end) continue;
    return nodes[i].fault(fmt::format("expected each word once, found {} twice", in_quotes(values[i])));
  }
  return values;
}

std::filesystem::path beside(const std::filesystem::path& file, const std::string& path) {
  return path.empty() ? std::filesystem::path() : file.parent_path() / path;
}

std::filesystem::path bundle_beside(const std::filesystem::path& file, const std::string& bundle) {
  return bundle.starts_with(kInstalledBundle) ? std::filesystem::path(bundle) : beside(file, bundle);
}

/// Applies a flag's parser to the value of a key. A number may stand in the file without quotes.
template <typename Parse>
auto parsed(const YamlNode& root, std::string_view key, const Parse& parse) -> decltype(parse(std::string_view())) {
  SS_TRY(const std::string text, root.string(key));
  auto value = parse(text);
  if (!value) return value.error().with_context(fmt::format("{}: {}", root.document(), key));
  return value;
}

Result<void> read_limits(const YamlNode& root, RunSettings& settings) {
  SS_TRY(const std::int64_t threads, root.integer_or("threads", 0, 0, kThreadsRange.max));
  settings.threads = static_cast<std::int32_t>(threads);
  if (root.has("cpus")) {
    SS_TRY(settings.cpus, parsed(root, "cpus", parse_cpu_list));
  }
  if (root.has("memory_max")) {
    SS_TRY(settings.memory_max_bytes, parsed(root, "memory_max", parse_memory_max));
  }
  if (root.has("max_time")) {
    SS_TRY(settings.max_time_s, parsed(root, "max_time", parse_seconds));
  }
  if (root.has("step_deadline")) {
    SS_TRY(settings.step_deadline_s, parsed(root, "step_deadline", parse_seconds));
  }
  if (root.has("cell_budget")) {
    SS_TRY(settings.cell_budget_s, parsed(root, "cell_budget", parse_seconds));
  }
  if (root.has("cell_deadline")) {
    SS_TRY(settings.cell_deadline_s, parsed(root, "cell_deadline", parse_seconds));
  }
  SS_TRY(settings.strict, root.boolean_or("strict", false));
  return {};
}

Result<void> read_gate(const YamlNode& root, const std::filesystem::path& path, PlanGate& gate) {
  const std::optional<YamlNode> node = root.find("gate");
  if (!node) return {};
  SS_TRY_VOID(node->expect_keys({"threshold_percent", "waivers", "baseline", "allow_inconclusive", "allow_unverified",
                                 "opportunistic", "max_pairs", "timed_bundle", "alternate", "pairs_per_start"}));
  SS_TRY(gate.threshold_percent, node->number_or("threshold_percent", 10, {.min = 0.1, .max = 1000}));
  SS_TRY(const std::string waivers, node->string_or("waivers", ""));
  gate.waivers = beside(path, waivers);
  SS_TRY(const std::string baseline, node->string_or("baseline", ""));
  gate.baseline = beside(path, baseline);
  SS_TRY(gate.allow_inconclusive, node->boolean_or("allow_inconclusive", false));
  SS_TRY(gate.allow_unverified, node->boolean_or("allow_unverified", false));
  SS_TRY(const std::string timed_bundle, node->string_or("timed_bundle", ""));
  gate.timed_bundle = bundle_beside(path, timed_bundle);
  SS_TRY(gate.max_pairs, node->integer_or("max_pairs", 0, 1, 400));
  SS_TRY(gate.opportunistic, node->boolean_or("opportunistic", false));
  SS_TRY(gate.alternate, node->boolean_or("alternate", false));
  SS_TRY(gate.pairs_per_start, node->integer_or("pairs_per_start", 0, 1, kMostPairsPerStart));
  return {};
}

Result<void> read_price(const YamlNode& root, const std::filesystem::path& path, PlanFile& plan) {
  const std::optional<YamlNode> node = root.find("price");
  if (!node) return {};
  SS_TRY_VOID(node->expect_keys({"usd_per_hour", "row", "per", "book"}));
  if (node->has("usd_per_hour") == node->has("row")) return node->mismatch("either usd_per_hour or row");
  if (node->has("row")) {
    SS_TRY(plan.price, node->string("row"));
  } else {
    SS_TRY(const double usd_per_hour, node->number("usd_per_hour", {.min = 0, .max = kMostUsdPerHour}));
    plan.price = fmt::format("{}", usd_per_hour);
  }
  SS_TRY(plan.price_per, node->string_or("per", "instance"));
  if (plan.price_per != "instance" && plan.price_per != "device") return node->mismatch("per: instance or device");
  SS_TRY(const std::string book, node->string_or("book", ""));
  plan.price_book = beside(path, book);
  return {};
}

/// A command, as one text or as a list of words.
Result<std::vector<std::string>> read_words(const YamlNode& node, std::string_view key) {
  const std::optional<YamlNode> value = node.find(key);
  if (!value) return std::vector<std::string>();
  if (value->kind() == YamlNode::Kind::kList) return strings(node, key);
  return parsed(node, key, command_words);
}

/// A map of texts, as of variables or of options.
Result<std::vector<std::pair<std::string, std::string>>> read_texts(const YamlNode& node, std::string_view key) {
  std::vector<std::pair<std::string, std::string>> texts;
  const std::optional<YamlNode> value = node.find(key);
  if (!value) return texts;
  SS_TRY(const auto entries, value->as_map());
  for (const auto& [name, entry] : entries) {
    SS_TRY(std::string text, entry.as_string());
    texts.emplace_back(name, std::move(text));
  }
  return texts;
}

/// Resolves a path with a slash against the plan's folder. A name without a slash is searched for in PATH when it is
/// started.
std::string program_beside(const std::filesystem::path& path, const std::string& program) {
  if (program.find('/') == std::string::npos) return program;
  return std::filesystem::absolute(beside(path, program)).lexically_normal().string();
}

/// Reads how this program starts a system; nullopt for a system that already runs.
Result<std::optional<ManagedStart>> read_managed(const YamlNode& node, const std::filesystem::path& path) {
  if (!node.has("start") && !node.has("image")) {
    for (const std::string_view key :
         {"health", "stop", "env", "engine", "options", "start_deadline", "stop_deadline"}) {
      if (node.has(key)) return node.mismatch(fmt::format("start or image beside {}", key));
    }
    return std::optional<ManagedStart>();
  }
  ManagedStart managed;
  managed.start_deadline_s = kDefaultStartDeadlineS;
  managed.stop_deadline_s = kDefaultStopDeadlineS;
  SS_TRY(managed.start, read_words(node, "start"));
  SS_TRY(managed.stop, read_words(node, "stop"));
  SS_TRY(managed.health, node.string_or("health", ""));
  SS_TRY(managed.image, node.string_or("image", ""));
  SS_TRY(managed.engine, node.string_or("engine", ""));
  SS_TRY(managed.engine_options, read_words(node, "options"));
  SS_TRY(managed.env, read_texts(node, "env"));
  if (node.has("start_deadline")) {
    SS_TRY(managed.start_deadline_s, parsed(node, "start_deadline", parse_seconds));
  }
  if (node.has("stop_deadline")) {
    SS_TRY(managed.stop_deadline_s, parsed(node, "stop_deadline", parse_seconds));
  }
  if (managed.image.empty() && !managed.start.empty())
    managed.start.front() = program_beside(path, managed.start.front());
  return std::optional(std::move(managed));
}

/// A system behind an adapter, which this program starts.
Result<SystemRequest> read_adapter(const YamlNode& node, const std::filesystem::path& path) {
  SS_TRY_VOID(node.expect_keys({"name", "adapter", "python", "start", "options", "env", "start_deadline", "variant",
                                "bundle", "devices", "telemetry"}));
  SS_TRY(const std::string name, node.string("name"));
  SS_TRY(const std::string adapter, node.string("adapter"));
  SS_TRY(const std::string python, node.string_or("python", ""));
  SS_TRY(std::vector<std::string> start, read_words(node, "start"));
  if (!start.empty()) start.front() = program_beside(path, start.front());
  SS_TRY(auto options, read_texts(node, "options"));
  std::vector<std::pair<std::string, std::string>> parts;
  for (const std::string_view key : {"variant", "bundle", "devices", "telemetry"}) {
    if (!node.has(key)) continue;
    SS_TRY(std::string value, node.string(key));
    parts.emplace_back(key, std::move(value));
  }
  auto request = system_request_of(name, "", parts);
  if (!request) return request.error().with_context(node.document());
  auto made = adapter_request_of(adapter, program_beside(path, python), std::move(start), std::move(options));
  if (!made) return made.error().with_context(fmt::format("{}: system {}", node.document(), name));
  SS_TRY(made->env, read_texts(node, "env"));
  std::ranges::sort(made->env);
  if (node.has("start_deadline")) {
    SS_TRY(made->start_deadline_s, parsed(node, "start_deadline", parse_seconds));
  }
  const Result<void> added = add_adapter(*request, *std::move(made));
  if (!added) return added.error().with_context(node.document());
  return request;
}

Result<void> read_systems(const YamlNode& root, const std::filesystem::path& path, RunRequest& request) {
  constexpr std::array<std::string_view, 15> kParts = {
      "preset",  "api",      "http",    "model",     "variant",     "bundle",       "timeout", "devices",
      "key_env", "key_file", "metrics", "telemetry", "speculative", "prefix_cache", "kv_cache"};
  SS_TRY(const std::vector<YamlNode> nodes, root.list_or_empty("systems"));
  for (const YamlNode& node : nodes) {
    if (node.has("adapter")) {
      SS_TRY(SystemRequest system, read_adapter(node, path));
      request.systems.push_back(std::move(system));
      continue;
    }
    SS_TRY_VOID(node.expect_keys(
        {"name",    "url",       "preset",      "api",          "http",     "model",          "variant",
         "bundle",  "timeout",   "devices",     "key_env",      "key_file", "start",          "stop",
         "health",  "env",       "image",       "engine",       "options",  "start_deadline", "stop_deadline",
         "metrics", "telemetry", "speculative", "prefix_cache", "kv_cache", "models"}));
    SS_TRY(const std::string name, node.string("name"));
    SS_TRY(std::optional<ManagedStart> managed, read_managed(node, path));
    SS_TRY(const auto models, read_texts(node, "models"));
    std::string url;
    // Where each model has a server of its own, the first one answers for the system.
    const bool has_urls = !models.empty() && models.front().second.find("://") != std::string::npos;
    if (has_urls && !managed && !node.has("url")) {
      url = models.front().second;
    } else if (!managed || node.has("url")) {
      SS_TRY(url, node.string("url"));
    }
    std::vector<std::pair<std::string, std::string>> parts;
    for (const std::string_view key : kParts) {
      if (!node.has(key)) continue;
      SS_TRY(std::string value, node.string(key));
      if (key == "key_file") value = beside(path, value).string();
      parts.emplace_back(key, std::move(value));
    }
    auto system = system_request_of(name, url, parts);
    if (!system) return system.error().with_context(root.document());
    for (const auto& [bundle, model] : models) {
      const Result<void> added = add_served_model(*system, bundle, model);
      if (!added) return added.error().with_context(root.document());
    }
    if (!system->models.empty() && (!system->bundle.empty() || !system->model.empty())) {
      return node.mismatch("either models, or bundle and model");
    }
    if (managed) {
      const Result<void> completed = complete_managed_start(*managed, system->preset, !url.empty());
      if (!completed) return completed.error().with_context(fmt::format("{}: system {}", root.document(), name));
      const Result<void> checked = check_http(*system, url);
      if (!checked) return checked.error().with_context(root.document());
      system->managed = std::move(managed);
    }
    request.systems.push_back(*std::move(system));
  }
  return {};
}

Result<PlanFile> plan_of(const YamlNode& root, const std::filesystem::path& path) {
  SS_TRY_VOID(root.expect_keys({"version",       "bundles",
                                "suite",         "backends",
                                "require",       "devices",
                                "variants",      "scenarios",
                                "batching",      "shared_prefix",
                                "slo",           "noise_limit_percent",
                                "repetitions",   "seed",
                                "threads",       "cpus",
                                "memory_max",    "max_time",
                                "step_deadline", "cell_deadline",
                                "cell_budget",   "strict",
                                "price",         "gate",
                                "systems",       "out"}));
  SS_TRY([[maybe_unused]] const std::int64_t version, root.integer("version", 1, 1));
  PlanFile plan;
  RunRequest& request = plan.request;
  SS_TRY(const std::vector<std::string> bundles, strings(root, "bundles"));
  for (const std::string& bundle : bundles) request.bundles.push_back(bundle_beside(path, bundle));
  SS_TRY(request.suite, root.string_or("suite", request.suite));
  SS_TRY(request.backends, distinct_strings(root, "backends"));
  SS_TRY(request.required, distinct_strings(root, "require"));
  SS_TRY(const std::vector<std::string> devices, distinct_strings(root, "devices"));
  for (const std::string& text : devices) {
    SS_TRY(auto device, parse_device_flag(text));
    request.devices.push_back(std::move(device));
  }
  SS_TRY(request.variants, distinct_strings(root, "variants"));
  SS_TRY(request.scenarios, distinct_strings(root, "scenarios"));
  if (root.has("batching")) {
    SS_TRY(request.batching, parsed(root, "batching", batching_from_name));
  }
  SS_TRY(const std::int64_t prefix, root.integer_or("shared_prefix", 0, 0, kTokensRange.max));
  request.n_shared_prefix = static_cast<std::int32_t>(prefix);
  if (root.has("slo")) {
    SS_TRY(request.slo, parsed(root, "slo", parse_slo));
  }
  SS_TRY(const double noise_limit,
         root.number_or("noise_limit_percent", 90, {.min = kNoisePercentRange.min, .max = kNoisePercentRange.max}));
  request.settings.noise_limit = noise_limit / 100;
  SS_TRY(const std::int64_t repetitions,
         root.integer_or("repetitions", request.repetitions, kRepetitionsRange.min, kRepetitionsRange.max));
  request.repetitions = static_cast<std::int32_t>(repetitions);
  SS_TRY(const std::int64_t seed, root.integer_or("seed", 1, 0, INT64_MAX));
  request.seed = static_cast<std::uint64_t>(seed);
  SS_TRY_VOID(read_systems(root, path, request));
  SS_TRY_VOID(read_limits(root, request.settings));
  SS_TRY_VOID(read_gate(root, path, plan.gate));
  SS_TRY_VOID(read_price(root, path, plan));
  SS_TRY(const std::string out, root.string_or("out", ""));
  plan.out = beside(path, out);
  return plan;
}

}  // namespace

Result<PlanFile> read_plan_file(const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, read_yaml_file(path));
  return plan_of(root, path);
}

Result<PlanFile> parse_plan(std::string_view text, const std::filesystem::path& path) {
  SS_TRY(const YamlNode root, parse_yaml(text, path.string()));
  return plan_of(root, path);
}

namespace {

struct Unit {
  std::string_view name;
  double factor;
};

/// Parses a positive number that is followed by one of `units`.
template <std::size_t N>
std::optional<double> number_with_unit(std::string_view text, const std::array<Unit, N>& units) {
  const auto number = parse_number_prefix<double>(text);
  if (!number || !(number->value > 0) || !std::isfinite(number->value)) return std::nullopt;
  for (const Unit& unit : units) {
    if (unit.name == number->rest) return number->value * unit.factor;
  }
  return std::nullopt;
}

}  // namespace

Result<std::int64_t> parse_bytes(std::string_view text) {
  constexpr std::array<Unit, 8> kUnits = {{{"", 1},
                                           {"KiB", 1024.0},
                                           {"MiB", kMebibyte},
                                           {"GiB", kGibibyte},
                                           {"kB", 1e3},
                                           {"MB", 1e6},
                                           {"GB", 1e9},
                                           {"TiB", 1099511627776.0}}};
  const std::optional<double> bytes = number_with_unit(text, kUnits);
  if (bytes && *bytes >= 1 && *bytes < 9e18) return static_cast<std::int64_t>(*bytes);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("expected a size such as 8GiB or 512MiB, found {}", in_quotes(text))};
}

Result<std::int64_t> parse_memory_max(std::string_view text) {
  SS_TRY(const std::int64_t bytes, parse_bytes(text));
  if (bytes >= kLeastMemoryMax) return bytes;
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("expected at least {}, since no worker starts with less, found {} (a size has a unit, as 8GiB)",
                  format_bytes(kLeastMemoryMax), in_quotes(text))};
}

Result<double> parse_seconds(std::string_view text) {
  constexpr std::array<Unit, 6> kUnits = {{{"", 1}, {"s", 1}, {"ms", 1e-3}, {"min", 60}, {"m", 60}, {"h", 3600}}};
  const std::optional<double> seconds = number_with_unit(text, kUnits);
  if (seconds && *seconds < kLongestSeconds) return *seconds;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("expected a time above 0 such as 90s, 5min or 2h, found {}", in_quotes(text))};
}

Result<double> parse_seconds_flag(const char* flag, std::string_view text) {
  Result<double> seconds = parse_seconds(text);
  if (!seconds) return seconds.error().with_context(flag);
  return seconds;
}

Result<BackendOption> parse_backend_option_flag(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::size_t equals = text.find('=');
  if (colon == std::string_view::npos || equals == std::string_view::npos || colon == 0 || equals < colon + 2) {
    return Error{ErrorCode::kInvalidInput, fmt::format("--backend-option: expected BACKEND:KEY=VALUE, found {}", text)};
  }
  if (text.substr(colon + 1, equals - colon).find(':') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidInput, fmt::format("--backend-option {}: a key has no colon", text)};
  }
  BackendOption option{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1, equals - colon - 1)),
                       std::string(text.substr(equals + 1))};
  for (const std::string_view own : {"threads", "cpus", "device", "strict", "fault"}) {
    if (option.key != own) continue;
    return Error{ErrorCode::kInvalidInput, fmt::format("--backend-option {}: --{} is a flag of its own", text, own)};
  }
  return option;
}

Result<std::vector<BackendOption>> parse_backend_option_flags(std::span<const std::string> texts) {
  std::vector<BackendOption> options;
  for (const std::string& text : texts) {
    SS_TRY(BackendOption option, parse_backend_option_flag(text));
    for (const BackendOption& other : options) {
      if (other.backend != option.backend || other.key != option.key) continue;
      return Error{ErrorCode::kInvalidInput, fmt::format("--backend-option {}: expected {}:{} once, found {}, too",
                                                         text, option.backend, option.key, in_quotes(other.value))};
    }
    options.push_back(std::move(option));
  }
  return options;
}

Result<std::vector<std::pair<std::string, std::string>>> parse_fault_flags(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, std::string>> faults;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("fault {}: expected BACKEND=KIND[:ARGUMENT], for example cpu=slow:50", in_quotes(text))};
    }
    const std::string backend = text.substr(0, equals);
    SS_TRY_VOID(parse_fault(std::string_view(text).substr(equals + 1)));
    const auto earlier = std::ranges::find(faults, backend, &std::pair<std::string, std::string>::first);
    if (earlier != faults.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("fault {}: expected one fault for a backend; {} has {} already", in_quotes(text),
                               backend, earlier->second)};
    }
    faults.emplace_back(backend, text.substr(equals + 1));
  }
  return faults;
}

Result<LoadClient> parse_client_flag(std::string_view text) {
  const auto slash = text.find('/');
  LoadClient client;
  const bool is_read = slash != std::string_view::npos && read_number(text.substr(0, slash), client.index) &&
                       read_number(text.substr(slash + 1), client.count) && kClientsRange.contains(client.count) &&
                       client.index >= 1 && client.index <= client.count;
  if (is_read) return client;
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format(
          "--client {}: expected INDEX/COUNT, for example 2/4 for the second of four clients, with {} to {} of them",
          in_quotes(text), kClientsRange.min, kClientsRange.max)};
}

Result<std::pair<std::string, std::string>> parse_device_flag(std::string_view text) {
  const auto equals = text.find('=');
  const std::string_view id = equals == std::string_view::npos ? text : text.substr(equals + 1);
  if (equals == 0 || id.empty()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("device {}: expected [BACKEND=]ID, for example cuda=1", in_quotes(text))};
  }
  return std::pair(std::string(equals == std::string_view::npos ? "" : text.substr(0, equals)), std::string(id));
}

}  // namespace secondsource
