#include "recorded/vllm_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "recorded/lines.h"
#include "tokenizer/unicode.h"

namespace secondsource {
namespace {

enum class LineKind : std::uint8_t { kReceived, kDetails, kResponse };

struct Marker {
  LineKind kind;
  std::string_view begin;   ///< of the message
  std::string_view behind;  ///< the request's id
};
constexpr std::array kMarkers = {
    Marker{LineKind::kReceived, "Received request ", ": "},
    Marker{LineKind::kDetails, "Request ", " details: "},
    Marker{LineKind::kResponse, "Generated response ", ": output: "},
};

/// A message of the log about one request.
struct Message {
  LineKind kind = LineKind::kReceived;
  std::string_view id;    ///< with what stands behind it in brackets
  std::string_view rest;  ///< behind the marker's second part
};

/// The message of a line: the first that begins in it, since a text may quote another one.
std::optional<Message> message_of(std::string_view line) {
  const Marker* first = nullptr;
  std::size_t begin = std::string_view::npos;
  for (const Marker& marker : kMarkers) {
    const std::size_t at = line.find(marker.begin);
    if (at >= begin) continue;
    begin = at;
    first = &marker;
  }
  if (first == nullptr) return std::nullopt;
  line.remove_prefix(begin + first->begin.size());
  const std::size_t end = line.find(first->behind);
  if (end == std::string_view::npos) return std::nullopt;
  return Message{first->kind, line.substr(0, end), line.substr(end + first->behind.size())};
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// The result of reading a text at the beginning of `rest`.
enum class ReprOutcome : std::uint8_t { kText, kNone, kCut, kNotUnicode, kOther };

/// Reads Python's repr() of a str or of None, and removes it from `rest`.
ReprOutcome take_repr(std::string_view& rest, std::string& text) {
  if (take(rest, "None")) return ReprOutcome::kNone;
  if (rest.empty()) return ReprOutcome::kCut;
  const char quote = rest.front();
  if (quote != '\'' && quote != '"') return ReprOutcome::kOther;
  rest.remove_prefix(1);
  text.clear();
  bool is_unicode = true;
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == quote) return is_unicode ? ReprOutcome::kText : ReprOutcome::kNotUnicode;
    if (c != '\\') {
      text += c;
      continue;
    }
    if (rest.empty()) return ReprOutcome::kCut;
    const char escape = rest.front();
    rest.remove_prefix(1);
    constexpr std::string_view kPlain = "\\'\"nrt";
    if (const std::size_t at = kPlain.find(escape); at != std::string_view::npos) {
      text += "\\'\"\n\r\t"[at];
      continue;
    }
    const std::size_t n_digits = escape == 'x' ? 2 : escape == 'u' ? 4 : escape == 'U' ? 8 : 0;
    if (n_digits == 0) return ReprOutcome::kOther;
    if (rest.size() < n_digits) return ReprOutcome::kCut;
    std::uint32_t code_point = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + n_digits, code_point, 16);
    if (error != std::errc() || end != rest.data() + n_digits) return ReprOutcome::kOther;
    rest.remove_prefix(n_digits);
    constexpr std::uint32_t kLargest = 0x10FFFF;
    const bool is_surrogate = code_point >= 0xD800 && code_point < 0xE000;
    if (code_point > kLargest || is_surrogate) {
      is_unicode = false;
    } else {
      tokenizer::append_character(text, static_cast<char32_t>(code_point));
    }
  }
  return ReprOutcome::kCut;
}

/// The number of ids in "[1, 2, 3]" behind `key`; nullopt where there is no such list, or where it does not end.
std::optional<std::int64_t> count_ids(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  if (!text.starts_with('[') && !text.starts_with('(')) return std::nullopt;
  const std::size_t end = text.find_first_of("])");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view list = text.substr(1, end - 1);
  if (list.find_first_not_of("0123456789, ") != std::string_view::npos) return std::nullopt;
  const auto n_commas = std::ranges::count(list, ',');
  if (list.find_first_of("0123456789") == std::string_view::npos) return 0;
  return n_commas + (list.ends_with(',') ? 0 : 1);  // "(7,)" is a tuple of one
}

std::int64_t n_characters(std::string_view utf8) {
  constexpr unsigned kTailMask = 0xC0;
  constexpr unsigned kTail = 0x80;
  return std::ranges::count_if(utf8, [](char c) { return (static_cast<unsigned char>(c) & kTailMask) != kTail; });
}

class LogReader {
 public:
  explicit LogReader(const std::string& name) : name_(name) {}

  void add(std::string_view line, std::int64_t number) {
    const auto message = message_of(line);
    if (!message) return;
    if (message->kind == LineKind::kResponse) {
      add_response(*message);
      return;
    }
    std::string_view rest = message->rest;
    if (take(rest, "prompt: ")) {
      add_request(*message, rest, number);
    } else if (message->kind == LineKind::kReceived && is_pooling(rest)) {  // of the two lines since 0.12 the second
      drop(message->id, std::string(kNotGenerating));
    } else if (message->kind == LineKind::kReceived && rest.starts_with("params: ")) {
      n_without_prompt_ += open_.contains(std::string(message->id)) ? 0 : 1;
    }
  }

  Result<RecordedFile> finish() {
    leave_out_cut();
    for (Entry& entry : entries_) {
      if (entry.left_out.empty()) {
        file_.prompts.push_back(std::move(entry.prompt));
      } else {
        file_.left_out[entry.left_out] += 1;
      }
    }
    file_.n_records = static_cast<std::int64_t>(entries_.size()) + n_without_prompt_;
    if (n_without_prompt_ > 0) {
      file_.left_out["a request whose prompt was not logged (VLLM_LOGGING_LEVEL=DEBUG logs it)"] += n_without_prompt_;
    }
    if (file_.n_records > 0) return std::move(file_);
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected requests in the log of a vLLM server (\"Received request ID: prompt: ...\"), "
                    "found none; its option --enable-log-requests logs them",
                    name_)};
  }

 private:
  struct Entry {
    RecordedPrompt prompt;
    std::string left_out;  ///< the reason, if there is one
    std::int64_t n_characters = 0;
    std::int64_t n_ids = 0;  ///< 0: not logged
  };

  static constexpr std::string_view kNotGenerating = "a request that generates nothing";

  static bool is_pooling(std::string_view rest) {
    const std::size_t at = rest.find("params: ");
    return at != std::string_view::npos && rest.substr(at).starts_with("params: PoolingParams(");
  }

  void add_request(const Message& message, std::string_view rest, std::int64_t number) {
    Entry entry;
    entry.prompt.place = fmt::format("{}:{}", name_, number);
    std::string text;
    switch (take_repr(rest, text)) {
      case ReprOutcome::kText:
        if (text.empty()) entry.left_out = "an empty prompt";
        if (text.find('\0') != std::string::npos) entry.left_out = "a text with a zero byte";
        entry.n_characters = n_characters(text);
        entry.n_ids = count_ids(rest, "prompt_token_ids: ").value_or(0);
        if (is_pooling(rest)) entry.left_out = kNotGenerating;
        break;
      case ReprOutcome::kNone:
        entry.left_out = "a request of token ids, whose text was not logged";
        break;
      case ReprOutcome::kCut:
        entry.left_out = "a line that ends within its text";
        break;
      case ReprOutcome::kNotUnicode:
        entry.left_out = "a text that is not Unicode";
        break;
      case ReprOutcome::kOther:
        entry.left_out = "a prompt that is no text as Python writes it";
        break;
    }
    entry.prompt.content = std::move(text);
    open_[std::string(message.id)] = entries_.size();
    entries_.push_back(std::move(entry));
  }

  /// Adds the answer to the last request with this id. The prompts of a completion are logged as ID-0, ID-1, ..., and
  /// its answer as ID.
  void add_response(const Message& message) {
    std::string_view id = message.id;
    constexpr std::string_view kComplete = " (streaming complete)";
    if (id.ends_with(" (streaming delta)")) return;
    if (id.ends_with(kComplete)) id.remove_suffix(kComplete.size());
    auto found = open_.find(std::string(id));
    if (found == open_.end()) found = open_.find(std::string(id) + "-0");
    if (found == open_.end()) return;
    RecordedPrompt& prompt = entries_[found->second].prompt;
    if (prompt.answer || prompt.n_answer_tokens) return;  // of several choices the first counts
    std::string_view rest = message.rest;
    std::string answer;
    if (take_repr(rest, answer) != ReprOutcome::kText) return;
    std::string_view count = answer;
    if (take(count, "<streaming_complete: ")) {  // what stands for the text of a stream that nobody kept
      std::int64_t n_tokens = 0;
      const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), n_tokens);
      const std::string_view behind = count.substr(static_cast<std::size_t>(end - count.data()));
      if (error != std::errc() || behind != " tokens>" || n_tokens <= 0 || n_tokens > kMostAnswerTokens) return;
      prompt.n_answer_tokens = n_tokens;
      return;
    }
    const auto n_tokens = count_ids(rest, "output_token_ids: ");
    if (n_tokens > 0 && *n_tokens <= kMostAnswerTokens) {
      prompt.n_answer_tokens = *n_tokens;
      if (*n_tokens > kFewIds && *n_tokens == n_characters(answer)) return;  // cut as a prompt: the text is not whole
    }
    prompt.answer = std::move(answer);
  }

  /// Leaves out prompts that were cut. The option --max-log-len N cuts a prompt's text to N characters and its ids to
  /// N. A long prompt then has as many characters as ids, which hardly happens otherwise, and nothing in the log is
  /// longer.
  void leave_out_cut() {
    std::int64_t longest = 0;
    for (const Entry& entry : entries_) longest = std::max({longest, entry.n_characters, entry.n_ids});
    const bool is_limited = longest > kFewIds && std::ranges::any_of(entries_, [longest](const Entry& entry) {
                              return entry.n_characters == longest && entry.n_ids == longest;
                            });
    if (!is_limited) return;
    for (Entry& entry : entries_) {
      if (entry.n_characters == longest) entry.left_out = "a prompt that --max-log-len cut";
    }
  }

  void drop(std::string_view id, std::string reason) {
    const auto found = open_.find(std::string(id));
    if (found != open_.end()) entries_[found->second].left_out = std::move(reason);
  }

  /// A text with no more ids than this may really have one for each character.
  static constexpr std::int64_t kFewIds = 8;

  const std::string& name_;
  RecordedFile file_;
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> open_;  ///< by id the last request
  std::int64_t n_without_prompt_ = 0;
};

}  // namespace

Result<RecordedFile> read_vllm_log(std::string_view text, const std::string& name) {
  LogReader reader(name);
  SS_TRY_VOID(for_each_line(text, [&](std::string_view line, std::int64_t number) -> Result<void> {
    reader.add(line, number);
    return {};
  }));
  return reader.finish();
}

}  // namespace secondsource
