#include "serving/token_event.h"

#include <array>
#include <charconv>
#include <cstdint>

namespace secondsource {
namespace {

// Events usually have five levels and fifteen members.
constexpr int kMostLevels = 16;
constexpr std::size_t kMostMembers = 32;
// Longer numbers are left to the other parser.
constexpr std::size_t kMostDigits = 9;

/// A cursor over JSON. Each function skips white space, reads one element and returns false for anything unusual.
class EventReader {
 public:
  EventReader(std::string_view json, ServedChunk& chunk) : at_(json.data()), end_(at_ + json.size()), chunk_(chunk) {}

  bool read() { return members(&EventReader::top_member) && at_end() && has_meaning_; }

 private:
  using Member = bool (EventReader::*)(std::string_view key);

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
  }
  bool take(char wanted) {
    skip_space();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  bool at_end() {
    skip_space();
    return at_ == end_;
  }
  bool next_is(char wanted) {
    skip_space();
    return at_ != end_ && *at_ == wanted;
  }
  bool word(std::string_view wanted) {
    skip_space();
    if (static_cast<std::size_t>(end_ - at_) < wanted.size() || std::string_view(at_, wanted.size()) != wanted) {
      return false;
    }
    at_ += wanted.size();
    return true;
  }
  bool null() { return next_is('n') && word("null"); }

  /// Printable ASCII without escapes.
  bool plain_string(std::string_view& value) {
    if (!take('"')) return false;
    const char* const begin = at_;
    while (at_ != end_ && *at_ != '"') {
      if (*at_ < 0x20 || *at_ > 0x7e || *at_ == '\\') return false;
      ++at_;
    }
    value = {begin, static_cast<std::size_t>(at_ - begin)};
    return take('"');
  }

  /// Appends a string of ASCII characters and short escapes to `to`.
  bool append_string(std::string& to) {
    if (!take('"')) return false;
    while (true) {
      const char* const begin = at_;
      while (at_ != end_ && *at_ != '"' && *at_ != '\\' && *at_ >= 0x20 && *at_ <= 0x7e) ++at_;
      to.append(begin, at_);
      if (at_ == end_) return false;
      if (*at_ == '"') return take('"');
      if (*at_ != '\\' || end_ - at_ < 2) return false;
      constexpr std::string_view kEscapes = "\"\\/nrtbf";
      constexpr std::string_view kMeanings = "\"\\/\n\r\t\b\f";
      const std::size_t which = kEscapes.find(at_[1]);
      if (which == std::string_view::npos) return false;
      to += kMeanings[which];
      at_ += 2;
    }
  }

  /// A non-negative whole number of at most kMostDigits digits.
  bool whole_number(std::int32_t& value) {
    skip_space();
    const char* const begin = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    const auto n_digits = static_cast<std::size_t>(at_ - begin);
    if (n_digits == 0 || n_digits > kMostDigits || (n_digits > 1 && *begin == '0')) return false;
    if (at_ != end_ && (*at_ == '.' || *at_ == 'e' || *at_ == 'E')) return false;
    return std::from_chars(begin, at_, value).ec == std::errc();
  }
  bool skip_number() {
    skip_space();
    const char* const begin = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    const auto n_digits = static_cast<std::size_t>(at_ - begin);
    // Times in seconds have ten digits, so more digits are accepted here than for a count.
    if (n_digits == 0 || n_digits > 15 || (n_digits > 1 && *begin == '0')) return false;
    return at_ == end_ || (*at_ != '.' && *at_ != 'e' && *at_ != 'E');
  }

  /// Skips a value of any kind.
  bool skip() {
    skip_space();
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
        return members(&EventReader::skip_member);
      case '[':
        return skip_list();
      case '"': {
        std::string_view value;
        return plain_string(value);
      }
      case 'n':
        return word("null");
      case 't':
        return word("true");
      case 'f':
        return word("false");
      default:
        return skip_number();
    }
  }
  bool skip_member(std::string_view) { return skip(); }
  bool skip_list() {
    if (!take('[') || ++depth_ > kMostLevels) return false;
    if (!next_is(']')) {
      do {
        if (!skip()) return false;
      } while (take(','));
    }
    --depth_;
    return take(']');
  }

  /// An object with distinct keys.
  bool members(Member read_member) {
    if (!take('{') || ++depth_ > kMostLevels) return false;
    std::array<std::string_view, kMostMembers> keys;
    std::size_t n_keys = 0;
    if (!next_is('}')) {
      do {
        std::string_view key;
        if (n_keys == keys.size() || !plain_string(key)) return false;
        for (std::size_t index = 0; index < n_keys; ++index) {
          if (keys[index] == key) return false;
        }
        keys[n_keys++] = key;
        if (!take(':') || !(this->*read_member)(key)) return false;
      } while (take(','));
    }
    --depth_;
    return take('}');
  }

  bool top_member(std::string_view key) {
    if (key == "choices") return choices();
    if (key == "usage") {
      if (null()) return true;
      chunk_.usage.emplace();
      return members(&EventReader::usage_member);
    }
    if (key == "error" || key == "timings") return null();
    if (key == "model" && next_is('"')) {
      std::string_view value;
      if (!plain_string(value)) return false;
      chunk_.model = value;
      return true;
    }
    return skip();
  }

  bool usage_member(std::string_view key) {
    if (key == "prompt_tokens") return null() || whole_number(chunk_.usage->n_prompt_tokens.emplace());
    if (key == "completion_tokens") return null() || whole_number(chunk_.usage->n_output_tokens.emplace());
    if (key == "prompt_tokens_details") return null() || members(&EventReader::details_member);
    return skip();
  }
  bool details_member(std::string_view key) {
    if (key == "cached_tokens") return null() || whole_number(chunk_.usage->n_cached_prompt_tokens.emplace());
    return skip();
  }

  /// A list of at most one choice, the first.
  bool choices() {
    if (!take('[') || ++depth_ > kMostLevels) return false;
    has_meaning_ = true;
    if (next_is('{') && !members(&EventReader::choice_member)) return false;
    --depth_;
    return take(']');
  }

  bool choice_member(std::string_view key) {
    if (key == "index") {
      std::int32_t index = -1;
      return whole_number(index) && index == 0;
    }
    // A choice has one of the two; with both, their order would matter.
    if (key == "text" || key == "delta") {
      if (has_text_ || null()) return !has_text_;
      has_text_ = true;
      return key == "text" ? append_string(chunk_.text) : members(&EventReader::delta_member);
    }
    if (key == "token_ids") return null() || ids();
    if (key == "finish_reason") return finish();
    if (key == "logprobs" || key == "message") return null();
    return skip();
  }

  bool delta_member(std::string_view key) {
    if (key == "content") return null() || append_string(chunk_.text);
    // Servers disagree on the name of this channel.
    if (key == "reasoning_content" || key == "reasoning") {
      if (null()) return true;
      return chunk_.thought.empty() && append_string(chunk_.thought) && !chunk_.thought.empty();
    }
    if (key == "tool_calls") return null() || (word("[") && word("]"));
    return skip();
  }

  bool ids() {
    if (!take('[')) return false;
    if (next_is(']')) return take(']');
    do {
      std::int32_t id = 0;
      if (!whole_number(id)) return false;
      chunk_.ids.push_back(id);
    } while (take(','));
    return take(']');
  }

  bool finish() {
    if (null()) return true;
    std::string_view reason;
    if (!plain_string(reason)) return false;
    if (reason == "length") chunk_.finish = ServedFinish::kLength;
    if (reason == "stop") chunk_.finish = ServedFinish::kStop;
    return reason == "length" || reason == "stop";
  }

  const char* at_;
  const char* end_;
  ServedChunk& chunk_;
  int depth_ = 0;
  bool has_text_ = false;
  bool has_meaning_ = false;  ///< it has choices
};

}  // namespace

bool read_token_event(std::string_view json, ServedChunk& chunk) {
  chunk.text.clear();
  chunk.thought.clear();
  chunk.tool.clear();
  chunk.ids.clear();
  chunk.usage.reset();
  chunk.finish = ServedFinish::kNone;
  chunk.other_reason.clear();
  chunk.model.clear();
  return EventReader(json, chunk).read();
}

}  // namespace secondsource
