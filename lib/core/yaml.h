#pragma once
// YAML from files that we did not write: the only reader for manifests, prompts, plans, waivers and price books.
//
// It is safe for untrusted input: size, nodes, text and depth are limited, all with aliases written out; the text must be
// UTF-8 and one document; an alias may only refer to a completed value. Some of what YAML 1.2 allows is refused, because
// two readers could see two values or because nobody needs it: tags, directives, merge keys, duplicate keys, anchors of
// one name, keys without a colon on their line, tabs as indentation, a blank item in a list. Every error is one line.
//
//   SS_TRY(const YamlNode root, read_yaml_file(path));
//   SS_TRY_VOID(root.expect_keys({"name", "limits", "paths"}));
//   SS_TRY(const std::string name, root.string("name"));
//   SS_TRY(const std::vector<YamlNode> paths, root.list("paths"));
//   for (const YamlNode& path : paths) { SS_TRY(const std::string text, path.as_string()); ... }
//   if (n > 7) return node.mismatch("at most 7");    // "plan.yaml:12: limits.n: expected at most 7, found 9"
//
// Nodes are immutable and cheap to copy; they keep the data they refer to alive. No type of the YAML library is visible
// here.

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
  /// The number of nodes of the document with every alias expanded.
  std::int64_t max_nodes = 1'000'000;
  /// The bytes of all keys and texts of the document with every alias expanded.
  std::int64_t max_text_bytes = std::int64_t{64} << 20;
  std::size_t max_key_bytes = 1024;
};

struct NumberRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

namespace detail {
struct YamlData;
struct YamlPlace;
}  // namespace detail

/// One value of a YAML document: null, a scalar, a list or a map with scalar keys.
class YamlNode {
 public:
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  [[nodiscard]] Kind kind() const;
  /// The line on which the value begins, counted from 1.
  [[nodiscard]] int line() const;
  /// The position in the document, "variants.bf16.tier" or "prompts[3].id"; empty for the root.
  [[nodiscard]] std::string path() const;
  /// The name given to the document.
  [[nodiscard]] const std::string& document() const noexcept { return *document_; }

  /// An error with code kInvalidInput: "DOCUMENT:LINE: PATH: expected EXPECTED, found <this value, shortened>"
  [[nodiscard]] Error mismatch(std::string_view expected) const;
  /// An error with code kInvalidInput: "DOCUMENT:LINE: PATH: MESSAGE"
  [[nodiscard]] Error fault(std::string_view message) const;

  // Reads of a scalar. Quoted text is never a number, a boolean or null.
  Result<std::string> as_string() const;
  Result<std::int64_t> as_integer(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                  std::int64_t max = std::numeric_limits<std::int64_t>::max()) const;
  /// A finite number; integers are accepted.
  Result<double> as_number(NumberRange range = {}) const;
  /// true or false
  Result<bool> as_boolean() const;

  // Reads of a list or a map.
  Result<std::vector<YamlNode>> as_list() const;
  /// The entries in the order of the document.
  Result<std::vector<std::pair<std::string, YamlNode>>> as_map() const;
  /// Fails unless this is a map that has no keys other than `known`.
  Result<void> expect_keys(std::initializer_list<std::string_view> known) const;
  /// The value under a key of a map; nullopt when the key is absent, its value is null, or this is not a map.
  [[nodiscard]] std::optional<YamlNode> find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key).has_value(); }
  /// The value under a key that must be present.
  Result<YamlNode> at(std::string_view key) const;

  // at() and as_...() in one call; the versions with _or are for keys that may be absent.
  Result<std::string> string(std::string_view key) const;
  Result<std::string> string_or(std::string_view key, std::string_view absent) const;
  Result<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max) const;
  Result<std::int64_t> integer_or(std::string_view key, std::int64_t absent, std::int64_t min, std::int64_t max) const;
  Result<double> number(std::string_view key, NumberRange range = {}) const;
  Result<double> number_or(std::string_view key, double absent, NumberRange range = {}) const;
  Result<bool> boolean_or(std::string_view key, bool absent) const;
  Result<std::vector<YamlNode>> list(std::string_view key) const;
  /// Empty when the key is absent.
  Result<std::vector<YamlNode>> list_or_empty(std::string_view key) const;

 private:
  friend Result<YamlNode> parse_yaml(std::string_view, std::string_view, YamlLimits);
  YamlNode(std::shared_ptr<const detail::YamlData> data, std::shared_ptr<const std::string> document,
           std::shared_ptr<const detail::YamlPlace> place)
      : data_(std::move(data)), document_(std::move(document)), place_(std::move(place)) {}
  [[nodiscard]] YamlNode item(std::size_t index) const;
  [[nodiscard]] YamlNode entry(const std::string& key, const std::shared_ptr<const detail::YamlData>& data) const;

  std::shared_ptr<const detail::YamlData> data_;
  std::shared_ptr<const std::string> document_;
  std::shared_ptr<const detail::YamlPlace> place_;  ///< null for the root
};

/// The document in `text`; an empty text gives null. Errors begin with `name`. Errors: kInvalidInput.
Result<YamlNode> parse_yaml(std::string_view text, std::string_view name, YamlLimits limits = {});

/// Calls parse_yaml on the content of a file and names the document by its path. Errors: as parse_yaml, and kIo.
Result<YamlNode> read_yaml_file(const std::filesystem::path& path, YamlLimits limits = {});

}  // namespace secondsource
