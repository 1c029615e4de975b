#pragma once
// One HTML document: landmarks, a skip link, a list of contents, tables with captions and charts with their numbers
// below. No script and no request to anywhere: a policy in the page itself forbids both. It follows the reader's light
// or dark theme, narrow screens, and prints on A4.
//
//   Page page("secondsource report");
//   page.section("results", "Results");
//   page.table(results, "Every cell");
//   return std::move(page).finish();

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/chart/chart.h"
#include "report/text_table.h"

namespace secondsource {

/// What a line in a list of verdicts is: the word and the sign say it, the colour follows.
enum class Tone { kGood, kBad, kUnsure };

class Page {
 public:
  /// `lead`: a sentence under the title.
  Page(std::string_view title, std::string_view lead);

  /// Begins a section; `id` is its anchor. What follows belongs to it.
  void section(std::string_view id, std::string_view heading);
  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void list(std::span<const std::string> lines);
  /// One line, set large, with its sign.
  void verdict(Tone tone, std::string_view text);
  void table(const TextTable& table, std::string_view caption);
  /// The same behind a line that opens it.
  void folded_table(const TextTable& table, std::string_view caption);
  /// Side by side where there is room; charts without a drawing are left out.
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
