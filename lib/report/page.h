#pragma once
// One HTML document with landmarks, a skip link, a table of contents, tables with captions, and charts with their
// numbers below. It has no script and sends no request; a policy in the page itself forbids both. It follows the
// reader's light or dark theme, adapts to narrow screens, and prints on A4.
//
//   Page page("secondsource report");
//   page.section("results", "Results");
//   page.table(results, "Every cell");
//   return std::move(page).finish();

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/chart/chart.h"
#include "report/text_table.h"

namespace secondsource {

/// Limit for sentences in a page or a document, in characters; names have a shorter limit.
inline constexpr std::size_t kLongText = 1000;

/// The meaning of a verdict line. Its words and its sign express it, so that the colour is only an addition.
enum class Tone { kGood, kBad, kUnsure };

class Page {
 public:
  /// `lead` is a sentence under the title.
  Page(std::string_view title, std::string_view lead);

  /// Begins a section with the anchor `id`. Everything that is added afterwards belongs to it.
  void section(std::string_view id, std::string_view heading);
  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void list(std::span<const std::string> lines);
  /// One line in large type with the sign of its tone.
  void verdict(Tone tone, std::string_view text);
  void table(const TextTable& table, std::string_view caption);
  /// A table that is folded until the reader opens it.
  void folded_table(const TextTable& table, std::string_view caption);
  /// Places charts side by side if the screen is wide enough; charts without a drawing are left out.
  void charts(std::span<const Chart> charts);
  void command(std::string_view text);

  [[nodiscard]] std::string finish() &&;

 private:
  std::string next_id();

  std::string title_;
  std::string lead_;
  std::string contents_;
  std::string body_;
  bool in_section_ = false;
  int n_ids_ = 0;
};

}  // namespace secondsource
