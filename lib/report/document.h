#pragma once
// A document of sections, lists, tables and charts, from which every report is made. It is rendered as Markdown or as
// one self-contained HTML page (report/page.h). All texts are plain; markup in them is escaped.

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "report/chart/chart.h"
#include "report/page.h"
#include "report/text_table.h"

namespace secondsource {

struct Section {
  std::string id{};  ///< anchor of the section
  std::string heading{};
};

struct Subheading {
  std::string text{};
};

struct Paragraph {
  std::string text{};
};

/// A statement that must be seen first.
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

/// A table that is folded until the reader opens it. Markdown shows it like any other table.
struct FoldedTable {
  std::string caption{};
  TextTable table{};
};

/// Charts side by side. Markdown omits charts and sections that contain nothing else, because tables beside the charts
/// have the same figures.
struct Charts {
  std::vector<Chart> charts{};
};

/// A command line.
struct Command {
  std::string text{};
};

using Block =
    std::variant<Section, Subheading, Paragraph, Callout, Bullets, CaptionedTable, FoldedTable, Charts, Command>;

struct Document {
  std::string title{};
  std::string lead{};  ///< sentence under the title
  std::vector<Block> blocks{};

  void add(Block block) { blocks.push_back(std::move(block)); }
};

[[nodiscard]] std::string render_markdown(const Document& document);
[[nodiscard]] std::string render_html(const Document& document);

}  // namespace secondsource
