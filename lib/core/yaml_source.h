#pragma once
// Checks of the source text of a YAML document at the places where values begin. The YAML library accepts some texts
// that the specification (1.2.2) forbids: a quote that is never closed, a key without its colon, tabs as indentation.
// Used by core/yaml.cpp alone; each check reads the text once from front to back, so that all of them together are
// linear in its size.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace secondsource::detail {

/// Where a value begins, as the YAML library counts: all from 0, in bytes.
struct YamlPosition {
  std::size_t offset = 0;
  int line = 0;
  int column = 0;
};

/// Every check returns the reason why the text is refused, or nullopt.
class YamlSource {
 public:
  explicit YamlSource(std::string_view text) : text_(text) {}

  /// The first value on a line must not be indented by tabs, and must stand right of `indent`, the column of the block
  /// around it (-1 for the document). A list in a map may stand in the map's own column.
  std::optional<std::string> check_indentation(YamlPosition at, int indent);
  /// A key of a map must be one line, with a colon behind it.
  [[nodiscard]] std::optional<std::string> check_key(YamlPosition at, std::string_view value) const;
  /// A quoted text must be closed, must have only the escapes of YAML and indented lines; a comment behind a value
  /// needs a space.
  [[nodiscard]] std::optional<std::string> check_quoted(YamlPosition at, int indent) const;
  /// Between two commas in brackets, as in [a, , b], an item is missing; a dash alone is no item either.
  [[nodiscard]] std::optional<std::string> check_flow_item(YamlPosition at) const;
  /// An outermost [...] or {...} must be closed, and a comment in it or directly behind it needs a space.
  [[nodiscard]] std::optional<std::string> check_flow(YamlPosition at) const;
  /// Directives (%YAML) are not accepted, so that there is one dialect.
  [[nodiscard]] std::optional<std::string> check_start() const;

 private:
  /// The offset of the value behind an anchor.
  [[nodiscard]] std::size_t behind_anchor(std::size_t offset) const;
  [[nodiscard]] char at(std::size_t offset) const { return offset < text_.size() ? text_[offset] : '\n'; }
  /// The offset behind the quote that closes the one at `offset`; nullopt if it is not closed.
  [[nodiscard]] std::optional<std::size_t> end_of_quoted(std::size_t offset) const;

  std::string_view text_;
  int checked_line_ = -1;
};

}  // namespace secondsource::detail
