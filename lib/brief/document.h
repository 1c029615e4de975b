#pragma once
// A document of sections, lists, tables and bar charts, rendered as Markdown or as one self-contained HTML page
// (report/page.h). All text is plain: what looks like markup in it is escaped.

#include <string>
#include <variant>
#include <vector>

#include "report/chart/bars.h"
#include "report/page.h"
#include "report/text_table.h"

namespace secondsource {

struct Section {
  std::string id{};  ///< its anchor
  std::string heading{};
};

struct Subheading {
  std::string text{};
};

struct Paragraph {
  std::string text{};
};

/// What must be seen first.
struct Callout {
  Tone tone = Tone::kUnsure;
  std::string text{};
};

struct Bullets {
  std::vector<std::string> items{};
};

struct CaptionedTable {
  std::string caption{};
  TextTable table{};
};

struct Bars {
  std::string title{};
  std::string unit{};
  std::vector<Bar> bars{};
};

/// Side by side. Markdown leaves them out: tables beside them have the same figures.
struct BarCharts {
  std::vector<Bars> charts{};
};

/// A command line.
struct Command {
  std::string text{};
};

using Block = std::variant<Section, Subheading, Paragraph, Callout, Bullets, CaptionedTable, BarCharts, Command>;

struct Document {
  std::string title{};
  std::string lead{};  ///< a sentence under the title
  std::vector<Block> blocks{};
};

[[nodiscard]] std::string render_markdown(const Document& document);
[[nodiscard]] std::string render_html(const Document& document);

}  // namespace secondsource
