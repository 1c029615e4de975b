#include "bundle/expected.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "bundle/manifest.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 10> kKeys = {"prompt",    "prompt_ids", "n_prompt_ids", "prompt_sha256",
                                                    "ids",       "finish",     "top",          "top1_margin",
                                                    "logsumexp", "unsteady"};
// A line of a thousand ids with ten alternatives each has 50 KB.
constexpr JsonLimits kLineLimits{.max_bytes = std::int64_t{16} << 20, .max_depth = 6, .max_values = 1'000'000};
// Log-probabilities come from a floating-point log-softmax, so that of an almost certain token may be slightly above 0.
constexpr double kLogProbabilityMax = 1e-3;
constexpr std::int64_t kMaxExpectedBytes = std::int64_t{1} << 30;

std::optional<std::int32_t> as_id(const Json& value) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > 0x7fffffffU) return std::nullopt;
  return static_cast<std::int32_t>(value.get<std::uint64_t>());
}

Result<std::vector<std::int32_t>> parse_ids(const JsonFields& fields, std::string_view key) {
  const Json* list = fields.find(key);
  if (list == nullptr || !list->is_array()) return fields.mismatch(key, "a list of token ids");
  std::vector<std::int32_t> ids;
  ids.reserve(list->size());
  for (const Json& value : *list) {
    const auto id = as_id(value);
    if (!id) return fields.mismatch(key, "token ids from 0 to 2^31 - 1");
    ids.push_back(*id);
  }
  return ids;
}

Result<std::vector<double>> parse_numbers(const JsonFields& fields, std::string_view key, std::size_t n) {
  const Json* list = fields.find(key);
  if (list == nullptr || !list->is_array() || list->size() != n) {
    return fields.mismatch(key, fmt::format("a list of {} numbers, one an id", n));
  }
  std::vector<double> numbers;
  numbers.reserve(n);
  for (const Json& value : *list) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return fields.mismatch(key, "finite numbers");
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

/// Parses one position: the best ids with their log-probabilities, in falling order.
Result<std::vector<TopToken>> parse_top_of(const JsonFields& fields, const Json& list) {
  if (!list.is_array() || list.empty() || list.size() > 1000)
    return fields.mismatch("top", "a list of [id, log-probability] an id");
  std::vector<TopToken> top;
  for (const Json& pair : list) {
    const auto id = pair.is_array() && pair.size() == 2 ? as_id(pair[0]) : std::nullopt;
    if (!id || !pair[1].is_number()) return fields.mismatch("top", "pairs of [id, log-probability]");
    const auto log_probability = pair[1].get<double>();
    const bool falls = top.empty() || log_probability <= top.back().log_probability;
    if (!(log_probability <= kLogProbabilityMax) || !falls)
      return fields.mismatch("top", "log-probabilities that fall from at most 0");
    top.push_back({*id, log_probability});
  }
  return top;
}

Result<std::vector<std::vector<TopToken>>> parse_top(const JsonFields& fields, const std::vector<std::int32_t>& ids) {
  const Json* list = fields.find("top");
  if (list == nullptr || !list->is_array() || list->size() != ids.size()) {
    return fields.mismatch("top", fmt::format("a list of {}, one an id", ids.size()));
  }
  std::vector<std::vector<TopToken>> tops;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    SS_TRY(std::vector<TopToken> top, parse_top_of(fields, (*list)[i]));
    if (top.front().id != ids[i]) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: top[{}]: expected the greedy choice {} first, found {}",
                                                         fields.name(), i, ids[i], top.front().id)};
    }
    tops.push_back(std::move(top));
  }
  return tops;
}

Result<std::vector<std::int32_t>> parse_unsteady(const JsonFields& fields, std::size_t n) {
  if (!fields.has("unsteady")) return std::vector<std::int32_t>();
  SS_TRY(std::vector<std::int32_t> indices, parse_ids(fields, "unsteady"));
  const bool rises = std::adjacent_find(indices.begin(), indices.end(), std::greater_equal()) == indices.end();
  if (!rises || (!indices.empty() && static_cast<std::size_t>(indices.back()) >= n)) {
    return fields.mismatch("unsteady", fmt::format("rising indices below {}", n));
  }
  return indices;
}

Result<void> parse_prompt_ids(const JsonFields& fields, ExpectedOutput& output) {
  SS_TRY(output.prompt_sha256, fields.string("prompt_sha256"));
  if (!is_sha256(output.prompt_sha256)) return fields.mismatch("prompt_sha256", "64 lower-case hexadecimal digits");
  if (!fields.has("prompt_ids")) {
    SS_TRY(output.n_prompt_ids, fields.integer("n_prompt_ids", {.min = 1, .max = std::int64_t{1} << 31}));
    return {};
  }
  SS_TRY(output.prompt_ids, parse_ids(fields, "prompt_ids"));
  const auto n_ids = static_cast<std::int64_t>(output.prompt_ids->size());
  SS_TRY(output.n_prompt_ids, fields.integer_or("n_prompt_ids", n_ids, {.min = n_ids, .max = n_ids}));
  if (sha256_of_ids(*output.prompt_ids) != output.prompt_sha256) {
    return fields.mismatch("prompt_sha256",
                           fmt::format("{}, the hash of prompt_ids", sha256_of_ids(*output.prompt_ids)));
  }
  return {};
}

Result<ExpectedOutput> parse_line(std::string_view line, const std::string& name) {
  SS_TRY(const Json root, parse_json(line, name, kLineLimits));
  SS_TRY(const JsonFields fields, JsonFields::of(root, name));
  for (const auto& [key, value] : root.items()) {
    if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: expected a known key, found \"{}\"", name, printable(key))};
    }
  }
  ExpectedOutput output;
  SS_TRY(output.prompt, fields.string("prompt"));
  SS_TRY_VOID(parse_prompt_ids(fields, output));
  SS_TRY(output.ids, parse_ids(fields, "ids"));
  if (output.ids.empty()) return fields.mismatch("ids", "at least one id");
  SS_TRY(const std::string finish, fields.string("finish"));
  if (finish != "eos" && finish != "length") return fields.mismatch("finish", "eos or length");
  output.finish = finish == "eos" ? Finish::kEos : Finish::kLength;
  SS_TRY(output.top, parse_top(fields, output.ids));
  SS_TRY(output.top1_margin, parse_numbers(fields, "top1_margin", output.ids.size()));
  SS_TRY(output.logsumexp, parse_numbers(fields, "logsumexp", output.ids.size()));
  SS_TRY(output.unsteady, parse_unsteady(fields, output.ids.size()));
  return output;
}

Result<void> check_vocabulary(const ExpectedOutput& output, std::int64_t vocab_size, std::string_view name) {
  std::vector<std::int32_t> ids = output.prompt_ids.value_or(std::vector<std::int32_t>());
  ids.insert(ids.end(), output.ids.begin(), output.ids.end());
  for (const std::vector<TopToken>& top : output.top) {
    std::ranges::transform(top, std::back_inserter(ids), &TopToken::id);
  }
  const auto outside = std::ranges::find_if(ids, [&](std::int32_t id) { return id >= vocab_size; });
  if (outside == ids.end()) return {};
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: prompt {}: expected ids below {}, found {}", name,
                                                     printable(output.prompt), vocab_size, *outside)};
}

}  // namespace

bool ExpectedOutput::is_unsteady(std::size_t index) const {
  return std::binary_search(unsteady.begin(), unsteady.end(), static_cast<std::int32_t>(index));
}

double reference_gap(const ExpectedOutput& expected, std::size_t index, std::int32_t id) {
  if (index >= expected.top.size()) return std::numeric_limits<double>::infinity();
  const std::vector<TopToken>& top = expected.top[index];
  const auto found = std::ranges::find(top, id, &TopToken::id);
  return found == top.end() ? std::numeric_limits<double>::infinity()
                            : top.front().log_probability - found->log_probability;
}

std::string sha256_of_ids(const std::vector<std::int32_t>& ids) {
  std::string bytes;
  bytes.reserve(4 * ids.size());
  for (const std::int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<char>((static_cast<std::uint32_t>(id) >> shift) & 0xffU));
  }
  return sha256_hex(bytes);
}

Result<std::vector<ExpectedOutput>> parse_expected(std::string_view text, std::string_view name) {
  std::vector<ExpectedOutput> outputs;
  std::set<std::string, std::less<>> prompts;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string where = fmt::format("{}:{}", name, line_number);
    SS_TRY(ExpectedOutput output, parse_line(text.substr(0, end), where));
    if (!prompts.insert(output.prompt).second) {
      return Error{ErrorCode::kInvalidInput, fmt::format("{}: prompt: expected each prompt once, found {} again", where,
                                                         printable(output.prompt))};
    }
    outputs.push_back(std::move(output));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return outputs;
}

Result<std::vector<ExpectedOutput>> read_expected(const std::filesystem::path& file, std::int64_t vocab_size) {
  SS_TRY(const std::string text, read_file(file, kMaxExpectedBytes));
  SS_TRY(std::vector<ExpectedOutput> outputs, parse_expected(text, file.string()));
  for (const ExpectedOutput& output : outputs) {
    SS_TRY_VOID(check_vocabulary(output, vocab_size, file.string()));
  }
  return outputs;
}

}  // namespace secondsource
