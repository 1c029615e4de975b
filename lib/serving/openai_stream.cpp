#include "serving/openai_stream.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

constexpr const char* kEvent = "event";
constexpr JsonLimits kChunkLimits{.max_bytes = std::int64_t{8} << 20};
// A larger count or id means that the stream is damaged.
constexpr std::int64_t kMostTokens = 1 << 30;

Error expected(std::string_view what, const Json& found) {
  return {ErrorCode::kInvalidInput, fmt::format("{}: expected {}, found {}", kEvent, what,
                                                shown(found.dump(-1, ' ', true, Json::error_handler_t::replace)))};
}

/// The member, or nullptr if it is absent or null.
const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::int32_t> count_of(const Json& value, std::string_view what) {
  if (!value.is_number_integer()) return expected(what, value);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(kMostTokens)) {
    return expected(what, value);
  }
  const auto number = value.get<std::int64_t>();
  if (number < 0 || number > kMostTokens) return expected(what, value);
  return static_cast<std::int32_t>(number);
}

Result<void> append_text(const Json& object, const char* key, std::string& to) {
  const Json* value = member(object, key);
  if (value == nullptr) return {};
  if (!value->is_string()) return expected(fmt::format("a text under {}", key), *value);
  to += value->get_ref<const std::string&>();
  return {};
}

Result<void> read_usage(const Json& tree, ServedChunk& chunk) {
  if (const Json* usage = member(tree, "usage")) {
    if (!usage->is_object()) return expected("an object under usage", *usage);
    ServedUsage read;
    if (const Json* count = member(*usage, "prompt_tokens")) {
      SS_TRY(read.n_prompt_tokens, count_of(*count, "a count of tokens under usage"));
    }
    if (const Json* count = member(*usage, "completion_tokens")) {
      SS_TRY(read.n_output_tokens, count_of(*count, "a count of tokens under usage"));
    }
    if (const Json* details = member(*usage, "prompt_tokens_details")) {
      if (const Json* count = member(*details, "cached_tokens")) {
        SS_TRY(read.n_cached_prompt_tokens, count_of(*count, "a count of tokens under usage"));
      }
    }
    chunk.usage = read;
    return {};
  }
  // llama-server, with timings_per_token.
  if (const Json* timings = member(tree, "timings")) {
    const Json* output = member(*timings, "predicted_n");
    if (output == nullptr) return {};
    ServedUsage read;
    SS_TRY(read.n_output_tokens, count_of(*output, "a count of tokens under timings"));
    chunk.usage = read;
  }
  return {};
}

Result<void> read_ids(const Json& choice, ServedChunk& chunk) {
  const Json* ids = member(choice, "token_ids");
  if (ids != nullptr && !ids->is_array()) return expected("a list under token_ids", *ids);
  if (ids != nullptr) {
    for (const Json& id : *ids) {
      SS_TRY(const std::int32_t read, count_of(id, "a token id"));
      chunk.ids.push_back(read);
    }
    return {};
  }
  const Json* logprobs = member(choice, "logprobs");
  if (logprobs == nullptr) return {};
  // llama-server: the log-probabilities of a token have its id.
  if (const Json* content = member(*logprobs, "content"); content != nullptr && content->is_array()) {
    for (const Json& token : *content) {
      const Json* id = member(token, "id");
      if (id == nullptr) return {};
      SS_TRY(const std::int32_t read, count_of(*id, "a token id"));
      chunk.ids.push_back(read);
    }
  }
  return {};
}

Result<void> read_tools(const Json& delta, ServedChunk& chunk) {
  const Json* calls = member(delta, "tool_calls");
  if (calls == nullptr) return {};
  if (!calls->is_array()) return expected("a list under tool_calls", *calls);
  for (const Json& call : *calls) {
    const Json* function = member(call, "function");
    if (function == nullptr) continue;
    SS_TRY_VOID(append_text(*function, "name", chunk.tool));
    SS_TRY_VOID(append_text(*function, "arguments", chunk.tool));
  }
  return {};
}

Result<void> read_choice(const Json& choice, ServedChunk& chunk) {
  if (!choice.is_object()) return expected("an object in choices", choice);
  SS_TRY_VOID(append_text(choice, "text", chunk.text));
  // A chunk has a delta, a whole response a message.
  for (const char* key : {"delta", "message"}) {
    const Json* delta = member(choice, key);
    if (delta == nullptr) continue;
    if (!delta->is_object()) return expected(fmt::format("an object under {}", key), *delta);
    SS_TRY_VOID(append_text(*delta, "content", chunk.text));
    // Servers disagree on the name of this channel.
    SS_TRY_VOID(append_text(*delta, "reasoning_content", chunk.thought));
    if (chunk.thought.empty()) SS_TRY_VOID(append_text(*delta, "reasoning", chunk.thought));
    SS_TRY_VOID(read_tools(*delta, chunk));
  }
  SS_TRY_VOID(read_ids(choice, chunk));
  if (const Json* finish = member(choice, "finish_reason")) {
    if (!finish->is_string()) return expected("a text under finish_reason", *finish);
    const auto& reason = finish->get_ref<const std::string&>();
    chunk.finish = reason == "length"                          ? ServedFinish::kLength
                   : reason == "stop" || reason == "eos_token" ? ServedFinish::kStop
                   : reason.empty()                            ? ServedFinish::kNone
                                                               : ServedFinish::kOther;
    if (chunk.finish == ServedFinish::kOther) chunk.other_reason = reason;
  }
  return {};
}

}  // namespace

std::optional<std::int64_t> created_of(std::string_view json) {
  const auto tree = parse_json(json, kEvent, kChunkLimits);
  if (!tree) return std::nullopt;
  const Json* created = member(*tree, "created");
  if (created == nullptr || !created->is_number_unsigned()) return std::nullopt;
  const auto seconds = created->get<std::uint64_t>();
  return seconds <= INT64_MAX ? std::optional(static_cast<std::int64_t>(seconds)) : std::nullopt;
}

Result<ServedChunk> parse_served_chunk(std::string_view json) {
  SS_TRY(const Json tree, parse_json(json, kEvent, kChunkLimits));
  if (!tree.is_object()) return expected("an object", tree);
  if (const Json* error = member(tree, "error")) {
    const Json* message = member(*error, "message");
    const Json& said = message != nullptr ? *message : *error;
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the server reports an error: {}",
                             shown(said.is_string() ? said.get_ref<const std::string&>()
                                                    : said.dump(-1, ' ', true, Json::error_handler_t::replace)))};
  }
  ServedChunk chunk;
  const Json* model = member(tree, "model");
  if (model != nullptr && model->is_string()) chunk.model = model->get_ref<const std::string&>();
  SS_TRY_VOID(read_usage(tree, chunk));
  const Json* choices = member(tree, "choices");
  if (choices == nullptr && chunk.usage) return chunk;
  if (choices == nullptr || !choices->is_array()) return expected("a list under choices", tree);
  for (const Json& choice : *choices) {
    if (const Json* index = member(choice, "index"); index != nullptr && *index != 0) continue;
    SS_TRY_VOID(read_choice(choice, chunk));
  }
  return chunk;
}

}  // namespace secondsource
