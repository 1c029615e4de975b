#include "core/yaml.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <istream>
#include <map>
#include <new>
#include <set>
#include <streambuf>

#include "core/file.h"
#include "core/nearest_word.h"
#include "core/number.h"
#include "core/utf8.h"
#include "core/yaml_source.h"

namespace secondsource {

namespace detail {

struct YamlData {
  YamlNode::Kind kind = YamlNode::Kind::kNull;
  bool is_plain = false;  ///< a scalar without quotes
  int line = 0;
  std::int64_t n_nodes = 1;     ///< the number of nodes with aliases expanded
  std::int64_t text_bytes = 0;  ///< the bytes of keys and texts with aliases expanded
  std::string scalar;
  std::vector<std::pair<std::string, std::shared_ptr<const YamlData>>> entries;  ///< used by a map
  std::vector<std::shared_ptr<const YamlData>> items;                            ///< used by a list
};

/// The position of a value in its parent. Paths are put together only for messages: a path in every value would make
/// reading quadratic.
struct YamlPlace {
  std::shared_ptr<const YamlPlace> parent;
  std::string key;        ///< of an entry of a map
  std::size_t index = 0;  ///< of an item of a list
  bool is_item = false;
};

}  // namespace detail

namespace {

using detail::YamlData;
using detail::YamlPosition;
using detail::YamlSource;
using Kind = YamlNode::Kind;

/// Thrown by the handler through the parser of the YAML library, which offers no other way to stop; caught in
/// parse_yaml.
struct Refusal {
  int line;
  std::string message;
};

/// Builds the tree and enforces the limits.
class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view text, YamlLimits limits) : limits_(limits), source_(text) {}

  [[nodiscard]] std::shared_ptr<const YamlData> root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    if (!anchor_names_.insert(name).second) {
      throw Refusal{mark.line, fmt::format("the anchor {} occurs twice", in_quotes(name))};
    }
  }

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (expects_item()) refuse_if(mark, source_.check_flow_item(position_of(mark)));
    complete(make(mark, Kind::kNull), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    auto data = make(mark, Kind::kScalar);
    data->is_plain = tag != "!";
    data->scalar = value;
    data->text_bytes = static_cast<std::int64_t>(value.size());
    count(mark.line, 0, data->text_bytes);
    check_source(mark, *data);
    if (data->is_plain && (value == "~" || value == "null" || value.empty())) data->kind = Kind::kNull;
    complete(std::move(data), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Refusal{mark.line, "an alias (*name) is inside the value that it repeats"};
    if (expects_key()) throw Refusal{mark.line, "expected a text as key of a map, found an alias"};
    add(mark.line, found->second);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    open(mark, tag, anchor, Kind::kList, style);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    open(mark, tag, anchor, Kind::kMap, style);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<YamlData> data;
    YAML::anchor_t anchor;
    int indent = -1;                 ///< the column of the innermost block, this one or one around it
    bool is_flow = false;            ///< written with brackets
    std::optional<std::string> key;  ///< of a map: a key that was read and whose value was not read yet
    std::set<std::string> keys;
  };

  static YamlPosition position_of(const YAML::Mark& mark) {
    return {static_cast<std::size_t>(mark.pos), mark.line, mark.column};
  }
  static void refuse_if(const YAML::Mark& mark, const std::optional<std::string>& reason) {
    if (reason) throw Refusal{mark.line, *reason};
  }

  [[nodiscard]] bool expects_key() const {
    return !open_.empty() && open_.back().data->kind == Kind::kMap && !open_.back().key;
  }
  /// True for the next item of a list in brackets.
  [[nodiscard]] bool expects_item() const {
    return !open_.empty() && open_.back().is_flow && open_.back().data->kind == Kind::kList;
  }
  [[nodiscard]] int indent() const { return open_.empty() ? -1 : open_.back().indent; }

  void check_source(const YAML::Mark& mark, const YamlData& data) {
    const YamlPosition at = position_of(mark);
    if (expects_key()) {
      refuse_if(mark, source_.check_key(at, data.scalar));
    } else {
      refuse_if(mark, source_.check_indentation(at, indent()));
    }
    if (expects_item() && data.is_plain) refuse_if(mark, source_.check_flow_item(at));
    if (!data.is_plain) refuse_if(mark, source_.check_quoted(at, indent()));
  }

  std::shared_ptr<YamlData> make(const YAML::Mark& mark, Kind kind) {
    auto data = std::make_shared<YamlData>();
    data->kind = kind;
    data->line = mark.line + 1;
    count(mark.line, 1, 0);
    return data;
  }

  void count(int line, std::int64_t n_nodes, std::int64_t n_bytes) {
    n_nodes_ += n_nodes;
    text_bytes_ += n_bytes;
    if (n_nodes_ > limits_.max_nodes) {
      throw Refusal{line, fmt::format("expected at most {} values, aliases written out", limits_.max_nodes)};
    }
    if (text_bytes_ > limits_.max_text_bytes) {
      throw Refusal{line,
                    fmt::format("expected at most {} bytes of text, aliases written out", limits_.max_text_bytes)};
    }
  }

  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // The library reports "?" for a plain scalar or a collection without a tag, and "!" for a quoted scalar.
    if (!tag.empty() && tag != "?" && tag != "!") throw Refusal{mark.line, "tags are not accepted"};
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Kind kind,
            YAML::EmitterStyle::value style) {
    refuse_tag(mark, tag);
    if (static_cast<int>(open_.size()) >= limits_.max_depth) {
      throw Refusal{mark.line, fmt::format("expected at most {} levels of nesting", limits_.max_depth)};
    }
    const bool is_flow = style == YAML::EmitterStyle::Flow;
    const bool is_outermost_flow = is_flow && (open_.empty() || !open_.back().is_flow);
    if (!expects_key()) refuse_if(mark, source_.check_indentation(position_of(mark), indent()));
    if (is_outermost_flow) refuse_if(mark, source_.check_flow(position_of(mark)));
    const int column = is_flow ? indent() : mark.column;
    open_.push_back({make(mark, kind), anchor, column, is_flow, std::nullopt, {}});
  }

  void close() {
    Open closed = std::move(open_.back());
    open_.pop_back();
    complete(std::move(closed.data), closed.anchor);
  }

  /// Finishes a value that was read to its end; from here on an alias may refer to it.
  void complete(std::shared_ptr<YamlData> data, YAML::anchor_t anchor) {
    const int line = data->line - 1;
    std::shared_ptr<const YamlData> done = std::move(data);
    if (anchor != YAML::NullAnchor) anchors_[anchor] = done;
    place(line, done);
  }

  /// Adds the value that an alias refers to once more.
  void add(int line, const std::shared_ptr<const YamlData>& data) {
    count(line, data->n_nodes, data->text_bytes);
    place(line, data);
  }

  void place(int line, const std::shared_ptr<const YamlData>& data) {
    if (open_.empty()) {
      root_ = data;
      return;
    }
    Open& parent = open_.back();
    if (expects_key()) {
      take_key(line, *data, parent);
      return;
    }
    parent.data->n_nodes += data->n_nodes;
    parent.data->text_bytes += data->text_bytes;
    if (parent.data->kind == Kind::kList) {
      parent.data->items.push_back(data);
    } else {
      parent.data->entries.emplace_back(std::move(*parent.key), data);
      parent.key.reset();
    }
  }

  void take_key(int line, const YamlData& data, Open& parent) const {
    if (data.kind != Kind::kScalar) throw Refusal{line, "expected a text as key of a map"};
    if (data.is_plain && data.scalar == "<<") throw Refusal{line, "merge keys are not accepted"};
    if (data.scalar.size() > limits_.max_key_bytes) {
      throw Refusal{line, fmt::format("expected a key of at most {} bytes, found {}", limits_.max_key_bytes,
                                      in_quotes(data.scalar))};
    }
    if (!parent.keys.insert(data.scalar).second) {
      throw Refusal{line, fmt::format("the key {} occurs twice", in_quotes(data.scalar))};
    }
    parent.data->text_bytes += data.text_bytes;
    parent.key = data.scalar;
  }

  YamlLimits limits_;
  YamlSource source_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, std::shared_ptr<const YamlData>> anchors_;
  std::set<std::string> anchor_names_;
  std::shared_ptr<const YamlData> root_ = std::make_shared<YamlData>();
  std::int64_t n_nodes_ = 0;
  std::int64_t text_bytes_ = 0;
};

/// Reads memory as a stream without copying it.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    // The interface of setg wants mutable characters; nothing is written through the pointer.
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

int line_of(std::string_view text, std::size_t offset) {
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

/// Refuses text that the YAML library would misread or accept beyond the standard.
Result<void> check_text(std::string_view text, std::string_view name, YamlLimits limits) {
  if (static_cast<std::int64_t>(text.size()) > limits.max_bytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: expected at most {} bytes of YAML, found {}", name, limits.max_bytes, text.size())};
  }
  if (const auto offset = find_invalid_utf8(text)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}:{}: expected UTF-8, found the byte 0x{:02x}", name, line_of(text, *offset),
                             static_cast<unsigned char>(text[*offset]))};
  }
  const auto control = std::find_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
  });
  if (control != text.end()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}:{}: expected text, found the control character 0x{:02x}", name,
                             line_of(text, static_cast<std::size_t>(control - text.begin())),
                             static_cast<unsigned char>(*control))};
  }
  return {};
}

std::string shortened(const YamlData& data) {
  switch (data.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kList:
      return fmt::format("a list of {}", data.items.size());
    case Kind::kMap:
      return "a map";
    case Kind::kScalar:
      break;
  }
  return data.is_plain ? shown(data.scalar, 60) : in_quotes(data.scalar);
}

}  // namespace

Result<YamlNode> parse_yaml(std::string_view text, std::string_view name, YamlLimits limits) {
  SS_TRY_VOID(check_text(text, name, limits));
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const auto refuse = [&](int line, std::string_view message) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}:{}: {}", name, line + 1, message)};
  };
  if (const auto reason = YamlSource(text).check_start()) return refuse(0, *reason);
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    Builder builder(text, limits);
    if (parser.HandleNextDocument(builder)) {
      Builder second(text, limits);
      if (parser.HandleNextDocument(second))
        return refuse(second.root()->line - 1, "expected one document, found more");
    }
    return YamlNode(builder.root(), std::make_shared<const std::string>(name), nullptr);
  } catch (const Refusal& refusal) {
    return refuse(refusal.line, refusal.message);
  } catch (const YAML::Exception& error) {
    return refuse(error.mark.line, fmt::format("expected YAML: {}", printable(error.msg)));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, fmt::format("{}: not enough memory to parse the YAML", name)};
  } catch (const std::exception& error) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected YAML: {}", name, printable(error.what()))};
  }
}

Result<YamlNode> read_yaml_file(const std::filesystem::path& path, YamlLimits limits) {
  SS_TRY(const std::string text, read_file(path, limits.max_bytes));
  return parse_yaml(text, path.string(), limits);
}

YamlNode::Kind YamlNode::kind() const {
  return data_->kind;
}
int YamlNode::line() const {
  return data_->line;
}

std::string YamlNode::path() const {
  std::vector<const detail::YamlPlace*> places;
  for (const detail::YamlPlace* place = place_.get(); place != nullptr; place = place->parent.get()) {
    places.push_back(place);
  }
  std::string path;
  for (auto place = places.rbegin(); place != places.rend(); ++place) {
    path += (*place)->is_item ? fmt::format("[{}]", (*place)->index) : (path.empty() ? "" : ".") + (*place)->key;
  }
  return path;
}

Error YamlNode::fault(std::string_view message) const {
  const std::string where = place_ == nullptr ? "" : shown(path()) + ": ";
  return Error{ErrorCode::kInvalidInput, fmt::format("{}:{}: {}{}", *document_, std::max(line(), 1), where, message)};
}

Error YamlNode::mismatch(std::string_view expected) const {
  return fault(fmt::format("expected {}, found {}", expected, shortened(*data_)));
}

YamlNode YamlNode::item(std::size_t index) const {
  auto place = std::make_shared<const detail::YamlPlace>(detail::YamlPlace{place_, {}, index, true});
  return {data_->items[index], document_, std::move(place)};
}

YamlNode YamlNode::entry(const std::string& key, const std::shared_ptr<const detail::YamlData>& data) const {
  return {data, document_, std::make_shared<const detail::YamlPlace>(detail::YamlPlace{place_, key, 0, false})};
}

Result<std::string> YamlNode::as_string() const {
  if (kind() != Kind::kScalar) return mismatch("a text");
  return data_->scalar;
}

Result<std::int64_t> YamlNode::as_integer(std::int64_t min, std::int64_t max) const {
  std::int64_t value = 0;
  const bool is_integer = kind() == Kind::kScalar && data_->is_plain && read_number(data_->scalar, value);
  if (is_integer && value >= min && value <= max) return value;
  const bool bounded =
      min != std::numeric_limits<std::int64_t>::min() || max != std::numeric_limits<std::int64_t>::max();
  return mismatch(bounded ? fmt::format("an integer from {} to {}", min, max) : "an integer");
}

Result<double> YamlNode::as_number(NumberRange range) const {
  double value = 0.0;
  const bool is_number =
      kind() == Kind::kScalar && data_->is_plain && read_number(data_->scalar, value) && std::isfinite(value);
  if (is_number && value >= range.min && value <= range.max) return value;
  const bool bounded = range.min != NumberRange{}.min || range.max != NumberRange{}.max;
  return mismatch(bounded ? fmt::format("a number from {} to {}", range.min, range.max) : "a number");
}

Result<bool> YamlNode::as_boolean() const {
  if (kind() == Kind::kScalar && data_->is_plain && data_->scalar == "true") return true;
  if (kind() == Kind::kScalar && data_->is_plain && data_->scalar == "false") return false;
  return mismatch("true or false");
}

Result<std::vector<YamlNode>> YamlNode::as_list() const {
  if (kind() != Kind::kList) return mismatch("a list");
  std::vector<YamlNode> items;
  items.reserve(data_->items.size());
  for (std::size_t i = 0; i < data_->items.size(); ++i) {
    items.push_back(item(i));
  }
  return items;
}

Result<std::vector<std::pair<std::string, YamlNode>>> YamlNode::as_map() const {
  if (kind() != Kind::kMap) return mismatch("a map");
  std::vector<std::pair<std::string, YamlNode>> entries;
  entries.reserve(data_->entries.size());
  for (const auto& [key, value] : data_->entries) {
    entries.emplace_back(key, entry(key, value));
  }
  return entries;
}

Result<void> YamlNode::expect_keys(std::initializer_list<std::string_view> known) const {
  if (kind() != Kind::kMap) return mismatch("a map");
  for (const auto& [key, value] : data_->entries) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    return YamlNode(value, document_, place_)
        .fault(fmt::format("expected only the keys {}; found {}{}", fmt::join(known, ", "), in_quotes(key),
                           did_you_mean(key, {known.begin(), known.end()})));
  }
  return {};
}

std::optional<YamlNode> YamlNode::find(std::string_view key) const {
  for (const auto& [name, value] : data_->entries) {
    if (name != key) continue;
    if (value->kind == Kind::kNull) return std::nullopt;
    return entry(name, value);
  }
  return std::nullopt;
}

Result<YamlNode> YamlNode::at(std::string_view key) const {
  if (kind() != Kind::kMap) return mismatch("a map");
  auto found = find(key);
  if (!found) return fault(fmt::format("expected the key \"{}\", found none", key));
  return *std::move(found);
}

Result<std::string> YamlNode::string(std::string_view key) const {
  SS_TRY(const YamlNode node, at(key));
  return node.as_string();
}

Result<std::string> YamlNode::string_or(std::string_view key, std::string_view absent) const {
  const auto node = find(key);
  return node ? node->as_string() : Result<std::string>(std::string(absent));
}

Result<std::int64_t> YamlNode::integer(std::string_view key, std::int64_t min, std::int64_t max) const {
  SS_TRY(const YamlNode node, at(key));
  return node.as_integer(min, max);
}

Result<std::int64_t> YamlNode::integer_or(std::string_view key, std::int64_t absent, std::int64_t min,
                                          std::int64_t max) const {
  const auto node = find(key);
  return node ? node->as_integer(min, max) : Result<std::int64_t>(absent);
}

Result<double> YamlNode::number(std::string_view key, NumberRange range) const {
  SS_TRY(const YamlNode node, at(key));
  return node.as_number(range);
}

Result<double> YamlNode::number_or(std::string_view key, double absent, NumberRange range) const {
  const auto node = find(key);
  return node ? node->as_number(range) : Result<double>(absent);
}

Result<bool> YamlNode::boolean_or(std::string_view key, bool absent) const {
  const auto node = find(key);
  return node ? node->as_boolean() : Result<bool>(absent);
}

Result<std::vector<YamlNode>> YamlNode::list(std::string_view key) const {
  SS_TRY(const YamlNode node, at(key));
  return node.as_list();
}

Result<std::vector<YamlNode>> YamlNode::list_or_empty(std::string_view key) const {
  const auto node = find(key);
  return node ? node->as_list() : Result<std::vector<YamlNode>>(std::vector<YamlNode>());
}

}  // namespace secondsource
