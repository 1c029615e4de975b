#pragma once
// A chart is plain data: the inside of an SVG, what it says in a sentence, and the same numbers as a table. One file
// makes one kind of chart; page.h puts them into an HTML page, standalone_svg() into a file of its own.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/text_table.h"

namespace secondsource {

/// How a series looks everywhere on a page. Colour is never the only difference: shape and dash follow too. The numbers
/// wrap around (kColours, kShapes).
struct SeriesLook {
  std::size_t colour = 0;  ///< of the backend
  std::size_t shape = 0;   ///< of the variant: marker and dash pattern
};
inline constexpr std::size_t kColours = 6;
inline constexpr std::size_t kShapes = 4;

struct LegendEntry {
  std::string label{};
  std::string symbol{};  ///< the inside of an SVG of 26 x 12
};

inline constexpr double kChartWidth = 480;  ///< narrow enough for a phone; pages set charts side by side

struct Chart {
  std::string title{};
  std::string description{};  ///< for those who do not see it: what is drawn, and what it shows
  double height = 0;
  std::string body{};  ///< the inside of the <svg>; its classes are those of chart_style()
  std::vector<LegendEntry> legend{};
  TextTable table{};  ///< the numbers that are drawn
};

/// CSS for the classes in a chart's body: colours for light and dark, which keep a distance of at least 13 (OKLab x
/// 100) from each other as the three kinds of colour blindness see them (Machado, Oliveira and Fernandes 2009), and a
/// contrast of at least 3 to 1 with the page.
[[nodiscard]] std::string_view chart_style();

/// <svg role="img"> with title and description. `id` must be unique in the document.
[[nodiscard]] std::string inline_svg(const Chart& chart, std::string_view id);

/// The chart as a document of its own, with its style.
[[nodiscard]] std::string standalone_svg(const Chart& chart);

/// A marker of about 9 x 9 around (x, y), with a tooltip unless it is empty.
[[nodiscard]] std::string marker(double x, double y, SeriesLook look, std::string_view tooltip);

/// The class list of a line of this look: "line c2 d1".
[[nodiscard]] std::string line_class(SeriesLook look);

/// A line with its marker, and a filled box, as legends show them.
[[nodiscard]] LegendEntry line_legend(std::string label, SeriesLook look);
[[nodiscard]] LegendEntry box_legend(std::string label, std::string_view css_class);

/// A text of others, escaped and cut to what fits into `max_characters`.
[[nodiscard]] std::string chart_text(std::string_view text, std::size_t max_characters);

/// A number with about three significant digits: "0.00215", "17.5", "9902", "2.15e-06".
[[nodiscard]] std::string figure_text(double value);

}  // namespace secondsource
