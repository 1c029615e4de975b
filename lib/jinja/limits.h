#pragma once
// The limits of one rendering. A template comes with a model that somebody else made, so its steps, memory and nesting are
// bounded; a template that reaches a limit is refused with an error that names the limit.

#include <cstdint>

namespace secondsource::jinja {

struct Limits {
  /// Values, operations and pieces of text that are looked at; a rendering of a long conversation needs some thousands.
  std::int64_t steps = 20'000'000;
  /// Bytes of all values that are alive at one time, and of the text that is being written.
  std::int64_t memory_bytes = std::int64_t{256} << 20;
  /// Statements, expressions and macro calls inside one another while rendering.
  int depth = 1000;
};

/// Bytes of a template's text.
inline constexpr std::int64_t kMaxTemplateBytes = 4 << 20;
/// Tags, brackets and operands inside one another in the text of a template; a bracket counts twice.
inline constexpr int kMaxNesting = 200;
/// Lists and dictionaries inside one another.
inline constexpr int kMaxValueDepth = 200;
/// Numbers in a range(), as in Jinja2's sandbox.
inline constexpr std::int64_t kMaxRange = 100'000;

}  // namespace secondsource::jinja
