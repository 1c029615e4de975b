#pragma once
// YAML from files that we did not write: the one reader for manifests, prompts, plans, waivers and price books.
//
// Safe: limits on size, nodes and depth; UTF-8 only; one document; no tags, no merge keys, no duplicate keys; aliases
// only to what is already complete, with a limit on what they expand to. Every failure is one line.
//
//   SS_TRY(const YamlNode root, read_yaml_file(path));
//   SS_TRY_VOID(root.expect_keys({"name", "limits", "paths"}));
//   SS_TRY(const std::string name, root.string("name"));
//   SS_TRY(const std::vector<YamlNode> paths, root.list("paths"));
//   for (const YamlNode& path : paths) { SS_TRY(const std::string text, path.as_string()); ... }
//   if (n > 7) return node.mismatch("at most 7");    // "plan.yaml:12: limits.n: expected at most 7, found 9"
//
// Values are immutable and cheap to copy; they keep what they need alive. No type of the YAML library is visible here.

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"

namespace secondsource {

struct YamlLimits {
  std::int64_t max_bytes = std::int64_t{16} << 20;
  int max_depth = 32;
  /// Of the document with every alias written out.
  std::int64_t max_nodes = 1'000'000;
};

struct NumberRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

namespace detail {
struct YamlData;
}

/// One value of a YAML document: null, a scalar, a list or a map with scalar keys.
class YamlNode {
 public:
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  [[nodiscard]] Kind kind() const;
  /// Where it begins, from 1.
  [[nodiscard]] int line() const;
  /// "variants.bf16.tier", "prompts[3].id"; empty for the root.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// The name that was given to the document.
  [[nodiscard]] const std::string& document() const noexcept { return *document_; }

  /// "DOCUMENT:LINE: PATH: expected EXPECTED, found <this value, shortened>", kInvalidInput
  [[nodiscard]] Error mismatch(std::string_view expected) const;
  /// "DOCUMENT:LINE: PATH: MESSAGE", kInvalidInput
  [[nodiscard]] Error fault(std::string_view message) const;

  // A scalar. Text in quotes is never a number, a boolean or null.
  Result<std::string> as_string() const;
  Result<std::int64_t> as_integer(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                  std::int64_t max = std::numeric_limits<std::int64_t>::max()) const;
  /// A finite number; integers count.
  Result<double> as_number(NumberRange range = {}) const;
  /// true or false
  Result<bool> as_boolean() const;

  // A list, a map.
  Result<std::vector<YamlNode>> as_list() const;
  /// In the order of the document.
  Result<std::vector<std::pair<std::string, YamlNode>>> as_map() const;
  /// This is a map, and has no key but these.
  Result<void> expect_keys(std::initializer_list<std::string_view> known) const;
  /// The value under a key of a map; nullopt when the key is absent, its value null, or this is no map.
  [[nodiscard]] std::optional<YamlNode> find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key).has_value(); }
  /// The same where it has to be there.
  Result<YamlNode> at(std::string_view key) const;

  // at() and as_...() in one; with _or for keys that may be absent.
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string_view absent) const;
  Result<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t absent, std::int64_t min, std::int64_t max) const;
  Result<double> number(std::string_view key, NumberRange range = {}) const;
  Result<double> number_or(std::string_view key, double absent, NumberRange range = {}) const;
  Result<bool> boolean_or(std::string_view key, bool absent) const;
  Result<std::vector<YamlNode>> list(std::string_view key) const;
  /// Empty when absent.
  Result<std::vector<YamlNode>> list_or_empty(std::string_view key) const;

 private:
  friend Result<YamlNode> parse_yaml(std::string_view, std::string_view, YamlLimits);
  YamlNode(std::shared_ptr<const detail::YamlData> data, std::shared_ptr<const std::string> document, std::string path)
      : data_(std::move(data)), document_(std::move(document)), path_(std::move(path)) {}
  [[nodiscard]] YamlNode child(const std::shared_ptr<const detail::YamlData>& data, std::string path) const {
    return {data, document_, std::move(path)};
  }

  std::shared_ptr<const detail::YamlData> data_;
  std::shared_ptr<const std::string> document_;
  std::string path_;
};

/// The document that `text` holds; an empty one is null. `name` stands first in errors. Errors: kInvalidInput.
Result<YamlNode> parse_yaml(std::string_view text, std::string_view name, YamlLimits limits = {});

/// parse_yaml of a file's content, named by its path. Errors: also kIo.
Result<YamlNode> read_yaml_file(const std::filesystem::path& path, YamlLimits limits = {});

}  // namespace secondsource
