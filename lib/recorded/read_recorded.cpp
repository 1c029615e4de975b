#include "recorded/read_recorded.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "core/json.h"
#include "core/json_fields.h"
#include "core/utf8.h"
#include "recorded/lines.h"
#include "recorded/vllm_log.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;
using Messages = std::vector<ChatMessage>;

constexpr std::int64_t kLargestArray = std::int64_t{256} << 20;

/// A record that is well-formed and cannot become a prompt.
struct LeftOut {
  std::string reason;
};

/// What a record holds before it is cut into prompt and answer.
struct Conversation {
  PromptContent content;
  std::optional<std::string> answer;
  std::optional<std::int64_t> n_answer_tokens;
};
using Reading = std::variant<Conversation, LeftOut>;

/// The role that a prompt suite knows; empty for any other.
std::string_view known_role(std::string_view role) {
  struct Name {
    std::string_view given, known;
  };
  // The names in files that ShareGPT's users share (FastChat, axolotl), and those of the OpenAI API.
  constexpr std::array kNames = {
      Name{"human", "user"},          Name{"user", "user"},      Name{"gpt", "assistant"},
      Name{"chatgpt", "assistant"},   Name{"bard", "assistant"}, Name{"bing", "assistant"},
      Name{"assistant", "assistant"}, Name{"system", "system"},  Name{"developer", "system"}};
  const auto found = std::ranges::find(kNames, role, &Name::given);
  return found == kNames.end() ? std::string_view() : found->known;
}

/// The text of a message: a string, or parts of which all are text.
std::optional<std::string> text_of(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : content) {
    const auto kind = part.is_object() ? part.find("type") : part.end();
    const auto piece = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || kind == part.end() || *kind != "text" || piece == part.end() || !piece->is_string()) {
      return std::nullopt;
    }
    text += piece->get<std::string>();
  }
  return text;
}

struct MessageKeys {
  std::string_view role, content;
};
constexpr MessageKeys kShareGptKeys{"from", "value"};
constexpr MessageKeys kOpenAiKeys{"role", "content"};

Result<std::variant<Messages, LeftOut>> read_messages(const JsonFields& fields, std::string_view key,
                                                      const MessageKeys& keys) {
  using Outcome = std::variant<Messages, LeftOut>;
  const Json* const list = fields.find(key);
  if (list == nullptr || !list->is_array()) return fields.mismatch(key, "a list of messages");
  Messages messages;
  for (std::size_t i = 0; i < list->size(); ++i) {
    SS_TRY(const JsonFields message, JsonFields::of((*list)[i], fmt::format("{}: {}[{}]", fields.name(), key, i)));
    SS_TRY(const std::string role, message.string(keys.role));
    const std::string_view known = known_role(role);
    if (known.empty()) return Outcome(LeftOut{fmt::format("a message of the role {}", in_quotes(role))});
    const Json* const content = message.find(keys.content);
    const auto text = content == nullptr ? std::nullopt : text_of(*content);
    if (!text) return Outcome(LeftOut{"a message that is not text alone"});
    if (text->empty()) return Outcome(LeftOut{"an empty message"});
    messages.push_back({std::string(known), *text});
  }
  if (messages.empty()) return Outcome(LeftOut{"no messages"});
  return Outcome(std::move(messages));
}

/// Cuts a conversation in front of the answer that is to be generated.
Reading cut(Messages messages, RecordedTurn turn) {
  const auto is_answer = [](const ChatMessage& message) { return message.role == "assistant"; };
  auto end = messages.end();
  if (turn == RecordedTurn::kFirst) {
    end = std::ranges::find_if(messages, is_answer);
  } else if (is_answer(messages.back())) {
    end = std::prev(messages.end());
  }
  Conversation conversation;
  if (end != messages.end()) conversation.answer = end->content;
  messages.erase(end, messages.end());
  if (messages.empty()) return LeftOut{"no question before the answer"};
  if (messages.back().role != "user") return LeftOut{"an answer to no question of a user"};
  conversation.content = std::move(messages);
  return conversation;
}

/// The text of the first choice in a response of the OpenAI API, or the text that stands for it.
std::optional<std::string> answer_in(const Json& response) {
  if (response.is_string()) return response.get<std::string>();
  if (!response.is_object()) return std::nullopt;
  if (const auto body = response.find("body"); body != response.end()) return answer_in(*body);
  const auto choices = response.find("choices");
  if (choices == response.end() || !choices->is_array() || choices->empty() || !choices->front().is_object()) {
    return std::nullopt;
  }
  const Json& choice = choices->front();
  if (const auto text = choice.find("text"); text != choice.end() && text->is_string()) return text->get<std::string>();
  const auto message = choice.find("message");
  if (message == choice.end() || !message->is_object()) return std::nullopt;
  const auto content = message->find("content");
  return content == message->end() ? std::nullopt : text_of(*content);
}

Result<Reading> read_share_gpt(const JsonFields& fields, RecordedTurn turn) {
  SS_TRY(auto messages, read_messages(fields, "conversations", kShareGptKeys));
  if (auto* left_out = std::get_if<LeftOut>(&messages)) return Reading(std::move(*left_out));
  return cut(std::get<Messages>(std::move(messages)), turn);
}

/// The body of a request: messages, or one text.
Result<Reading> read_body(const JsonFields& body, RecordedTurn turn) {
  if (const Json* const prompt = body.find("prompt"); prompt != nullptr && !body.has("messages")) {
    if (!prompt->is_string()) return Reading(LeftOut{"a prompt that is not one text"});
    if (prompt->get_ref<const std::string&>().empty()) return Reading(LeftOut{"an empty prompt"});
    return Reading(Conversation{.content = prompt->get<std::string>(), .answer = {}, .n_answer_tokens = {}});
  }
  const Json* const messages = body.find("messages");
  if (messages == nullptr) return body.mismatch("messages", "a list of messages, or a text under prompt");
  if (messages->is_string()) {  // LiteLLM logs a text instead of messages for completions and where it redacts
    if (*messages == "redacted-by-litellm") return Reading(LeftOut{"messages that the proxy redacted"});
    return Reading(Conversation{.content = messages->get<std::string>(), .answer = {}, .n_answer_tokens = {}});
  }
  SS_TRY(auto read, read_messages(body, "messages", kOpenAiKeys));
  if (auto* left_out = std::get_if<LeftOut>(&read)) return Reading(std::move(*left_out));
  return cut(std::get<Messages>(std::move(read)), turn);
}

/// Takes the answer of a log, where the conversation has none after its last question.
Result<Reading> with_response(Reading reading, const JsonFields& fields) {
  auto* const conversation = std::get_if<Conversation>(&reading);
  const Json* const response = fields.find("response");
  if (conversation == nullptr || response == nullptr || conversation->answer) return reading;
  conversation->answer = answer_in(*response);
  if (fields.has("completion_tokens")) {
    SS_TRY(const std::int64_t n_tokens, fields.integer("completion_tokens", {.min = 0, .max = kMostAnswerTokens}));
    if (n_tokens > 0) conversation->n_answer_tokens = n_tokens;
  }
  return reading;
}

Result<Reading> read_open_ai(const JsonFields& fields, RecordedTurn turn) {
  for (const std::string_view key : {"body", "request"}) {
    if (!fields.has(key)) continue;
    SS_TRY(const JsonFields body, fields.object(key));
    SS_TRY(Reading reading, read_body(body, turn));
    return with_response(std::move(reading), fields);
  }
  SS_TRY(Reading reading, read_body(fields, turn));
  return with_response(std::move(reading), fields);
}

Result<Reading> read_lite_llm(const JsonFields& fields, RecordedTurn turn) {
  SS_TRY(const std::string status, fields.string_or("status", "success"));
  if (status != "success") return Reading(LeftOut{"a request that failed"});
  SS_TRY(Reading reading, read_body(fields, turn));
  return with_response(std::move(reading), fields);
}

class Reader {
 public:
  Reader(const std::string& name, const ReadRecordedOptions& options) : name_(name), options_(options) {}

  Result<void> add(const Json& record, const std::string& place);
  void add_text(std::string text, const std::string& place);
  [[nodiscard]] RecordedFile take() { return std::move(file_); }

 private:
  const std::string& name_;
  const ReadRecordedOptions& options_;
  RecordedFile file_;
};

bool has_zero_byte(const PromptContent& content) {
  const auto is_in = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (const auto* text = std::get_if<std::string>(&content)) return is_in(*text);
  const auto* const messages = std::get_if<Messages>(&content);
  return messages != nullptr &&
         std::ranges::any_of(*messages, [&](const ChatMessage& message) { return is_in(message.content); });
}

Result<void> Reader::add(const Json& record, const std::string& place) {
  file_.n_records += 1;
  SS_TRY(const JsonFields fields, JsonFields::of(record, place));
  const auto read = options_.format == RecordedFormat::kShareGpt ? &read_share_gpt
                    : options_.format == RecordedFormat::kOpenAi ? &read_open_ai
                                                                 : &read_lite_llm;
  SS_TRY(Reading reading, read(fields, options_.turn));
  if (const auto* left_out = std::get_if<LeftOut>(&reading)) {
    file_.left_out[left_out->reason] += 1;
    return {};
  }
  auto& conversation = std::get<Conversation>(reading);
  if (has_zero_byte(conversation.content)) {
    file_.left_out["a text with a zero byte"] += 1;
    return {};
  }
  file_.prompts.push_back(
      {place, std::move(conversation.content), std::move(conversation.answer), conversation.n_answer_tokens});
  return {};
}

void Reader::add_text(std::string text, const std::string& place) {
  file_.n_records += 1;
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) {
    file_.left_out["an empty text"] += 1;
  } else if (text.find('\0') != std::string::npos) {
    file_.left_out["a text with a zero byte"] += 1;
  } else {
    file_.prompts.push_back({place, PromptContent(std::move(text)), std::nullopt, std::nullopt});
  }
}

Result<void> read_text(std::string_view text, const std::string& name, const std::string& separator, Reader& reader) {
  if (separator.empty()) {
    reader.add_text(std::string(text), name);
    return {};
  }
  std::string piece;
  std::int64_t first_line = 1;
  SS_TRY_VOID(for_each_line(text, [&](std::string_view line, std::int64_t number) -> Result<void> {
    if (line == separator) {
      reader.add_text(std::exchange(piece, {}), fmt::format("{}:{}", name, first_line));
      first_line = number + 1;
    } else {
      piece += line;
      piece += '\n';
    }
    return {};
  }));
  if (!piece.empty()) reader.add_text(std::move(piece), fmt::format("{}:{}", name, first_line));
  return {};
}

}  // namespace

Result<RecordedFile> read_recorded(std::string_view text, const std::string& name, const ReadRecordedOptions& options) {
  if (const auto offset = find_invalid_utf8(text)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected UTF-8, found another byte at offset {}", name, *offset)};
  }
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (options.format == RecordedFormat::kVllm) return read_vllm_log(text, name);
  Reader reader(name, options);
  if (options.format == RecordedFormat::kText) {
    SS_TRY_VOID(read_text(text, name, options.separator, reader));
    return reader.take();
  }
  JsonLimits limits;
  limits.allow_duplicate_keys = true;  // the files are not ours, and the last value counts
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '[') {
    limits.max_bytes = kLargestArray;
    constexpr std::int64_t kMostValues = 20'000'000;
    limits.max_values = kMostValues;
    SS_TRY(const Json records, parse_json(text, name, limits));
    for (std::size_t i = 0; i < records.size(); ++i) {
      SS_TRY_VOID(reader.add(records[i], fmt::format("{}: record {}", name, i + 1)));
    }
    return reader.take();
  }
  SS_TRY_VOID(for_each_line(text, [&](std::string_view line, std::int64_t number) -> Result<void> {
    if (line.find_first_not_of(" \t") == std::string_view::npos) return {};
    const std::string place = fmt::format("{}:{}", name, number);
    SS_TRY(const Json record, parse_json(line, place, limits));
    return reader.add(record, place);
  }));
  return reader.take();
}

}  // namespace secondsource
