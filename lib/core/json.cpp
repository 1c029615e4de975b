#include "core/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/utf8.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;

/// A byte offset as "line 3, column 7".
std::string position_in(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return fmt::format("line {}, column {}", line, std::max<std::size_t>(before.size() - line_start, 1));
}

/// The part of nlohmann's message that names the problem, without its prefix and position, as one printable line.
std::string reason_of(std::string_view what) {
  for (const std::string_view mark : {"syntax error", "number overflow"}) {
    if (const std::size_t at = what.find(mark); at != std::string_view::npos) return shown(what.substr(at));
  }
  return shown(what);
}

/// Builds the tree if `root` is set, and enforces the limits. Stops at the first error.
class Handler final : public nlohmann::json_sax<Json> {
 public:
  Handler(JsonLimits limits, Json* root) : limits_(limits), root_(root) {}

  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }
  [[nodiscard]] std::size_t position() const noexcept { return position_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!count()) return false;
    if (!limits_.allow_duplicate_keys && occurred(name)) {
      fault_ = fmt::format("the key {} occurs twice in one object", in_quotes(name));
      return false;
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    position_ = position;
    fault_ = reason_of(error.what());
    return false;
  }

 private:
  /// True if the open object already has this key. Without a tree, the keys are kept in `keys_`.
  bool occurred(const std::string& name) {
    return root_ != nullptr ? open_.back()->contains(name) : !keys_.back().insert(name).second;
  }

  template <typename Value>
  bool add(Value&& value) {
    if (!count()) return false;
    if (root_ != nullptr) place(Json(std::forward<Value>(value)));
    return true;
  }

  bool count() {
    if (++n_values_ <= limits_.max_values) return true;
    fault_ = fmt::format("expected at most {} values", limits_.max_values);
    return false;
  }

  Json* place(Json&& value) {
    if (open_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }

  bool open(Json&& container) {
    if (!count()) return false;
    if (++depth_ > limits_.max_depth) {
      fault_ = fmt::format("expected at most {} levels of nesting", limits_.max_depth);
      return false;
    }
    // The address of a container is stable while it is open: its parent gets no new element until it is closed.
    if (root_ != nullptr) open_.push_back(place(std::move(container)));
    if (root_ == nullptr) keys_.emplace_back();
    return true;
  }

  bool close() {
    --depth_;
    if (root_ != nullptr) {
      open_.pop_back();
    } else {
      keys_.pop_back();
    }
    return true;
  }

  JsonLimits limits_;
  Json* root_;
  std::vector<Json*> open_;
  std::vector<std::set<std::string>> keys_;  // the keys of each open container, used when no tree is built
  std::string key_;
  int depth_ = 0;
  std::int64_t n_values_ = 0;
  std::string fault_;
  std::size_t position_ = 0;
};

Result<void> parse_into(std::string_view text, std::string_view name, JsonLimits limits, Json* root) {
  if (static_cast<std::int64_t>(text.size()) > limits.max_bytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected at most {} bytes of JSON, found {}", name, limits.max_bytes, text.size())};
  }
  if (const auto offset = find_invalid_utf8(text)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}: expected UTF-8, found the byte 0x{:02x}", name, position_in(text, *offset + 1),
                             static_cast<unsigned char>(text[*offset]))};
  }
  // The library takes a zero byte for the end of the text and would ignore what follows.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}: expected JSON, found a zero byte", name, position_in(text, zero + 1))};
  }
  // The library keeps the white space since the last token for its messages, eight bytes for each line break.
  const auto n_breaks =
      std::count_if(text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; });
  if (n_breaks > limits.max_values) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected JSON with at most {} line breaks and tabs, found {}", name,
                             limits.max_values, n_breaks)};
  }
  try {
    Handler handler(limits, root);
    if (Json::sax_parse(text.begin(), text.end(), &handler)) return {};
    const std::string where = handler.position() > 0 ? position_in(text, handler.position()) + ": " : "";
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected JSON: {}{}", name, where, handler.fault())};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("{}: not enough memory to parse {} bytes of JSON", name, text.size())};
  }
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits) {
  Json root;
  SS_TRY_VOID(parse_into(text, name, limits, &root));
  return root;
}

Result<void> check_json(std::string_view text, std::string_view name, JsonLimits limits) {
  return parse_into(text, name, limits, nullptr);
}

}  // namespace secondsource
