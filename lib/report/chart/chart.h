#pragma once
// A chart as plain data: the content of an SVG, a description in words, and the same numbers as a table. Each file of
// this folder makes one kind of chart. page.h puts charts into an HTML page, and standalone_svg() makes a file of one
// chart.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "report/text_table.h"

namespace secondsource {

/// The look of a series on the whole page. Colour is never the only difference: marker shape and dash pattern differ
/// too. Indices wrap around at kColours and kShapes.
struct SeriesLook {
  std::size_t colour = 0;  ///< index of the backend's colour
  std::size_t shape = 0;   ///< index of the variant's marker and dash pattern
};
inline constexpr std::size_t kColours = 6;
inline constexpr std::size_t kShapes = 4;

struct LegendEntry {
  std::string label{};
  std::string symbol{};  ///< content of an SVG of 26 x 12
};

inline constexpr double kChartWidth = 480;  ///< narrow enough for a phone; wider pages place charts side by side

struct Chart {
  std::string title{};
  std::string description{};  ///< for readers who cannot see the chart: what is drawn and what it shows
  double height = 0;
  std::string body{};  ///< content of the <svg>; the classes are defined by chart_style()
  std::vector<LegendEntry> legend{};
  TextTable table{};  ///< the numbers that are drawn
};

/// CSS for the classes in a chart's body, with colours for light and dark themes. Their distance from each other is at
/// least 13 (OKLab x 100) under each of the three kinds of colour blindness (Machado, Oliveira and Fernandes 2009), and
/// their contrast with the page is at least 3 to 1.
[[nodiscard]] std::string_view chart_style();

/// Returns an <svg role="img"> with title and description. `id` must be unique in the document.
[[nodiscard]] std::string inline_svg(const Chart& chart, std::string_view id);

/// Returns the chart as a separate SVG document that includes its style.
[[nodiscard]] std::string standalone_svg(const Chart& chart);

/// Returns a marker of about 9 x 9 pixels around (x, y), with a tooltip unless `tooltip` is empty.
[[nodiscard]] std::string marker(double x, double y, SeriesLook look, std::string_view tooltip);

/// The same in the colour of a CSS class: "v0" of a good verdict, "v1" of an unsure and "v2" of a bad one.
[[nodiscard]] std::string marker(double x, double y, std::string_view css_class, std::size_t shape,
                                 std::string_view tooltip);

/// Returns the class list of a line with this look: "line c2 d1".
[[nodiscard]] std::string line_class(SeriesLook look);

/// Legend entries: a line with its marker, and a filled box.
[[nodiscard]] LegendEntry line_legend(std::string label, SeriesLook look);
[[nodiscard]] LegendEntry box_legend(std::string label, std::string_view css_class);

/// Escapes an untrusted text and cuts it to `max_characters`.
[[nodiscard]] std::string chart_text(std::string_view text, std::size_t max_characters);

/// The width in pixels that a text needs at most in the fonts that usual systems have, and how many characters fit.
[[nodiscard]] double text_width(std::string_view utf8);
[[nodiscard]] std::size_t characters_in(double width);

/// Formats a number with about three significant digits: "0.00215", "17.5", "9902", "2.15e-07".
[[nodiscard]] std::string figure_text(double value);

}  // namespace secondsource
