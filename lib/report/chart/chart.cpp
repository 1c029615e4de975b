#include "report/chart/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/utf8.h"

namespace secondsource {
namespace {

// c0, c1, ... are the colours of series; k0, k1, ... those of kinds that are shown side by side (parts of memory, parts
// of a request).
constexpr std::string_view kChartStyle = R"(
:root, svg { --axis: #6a747e; --grid: #e6e9ed; --text: #1c2126; --quiet-text: #56606a;
  --c0: #2470b8; --c1: #d37812; --c2: #154a06; --c3: #8b5264; --c4: #a18b95; --c5: #4a0358;
  --k0: #1f4468; --k1: #5185b4; --k2: #a9c4dc; --k3: #dde6ee; --mark: #a8201a; --halo: #fff;
  --v0: #1a6b3c; --v1: #7a5200; --v2: #a8201a; }
@media screen and (prefers-color-scheme: dark) { :root, svg { --axis: #8d97a2; --grid: #2b3138; --text: #e4e8ec;
  --quiet-text: #a5afb9; --c0: #5cb4ef; --c1: #e8954a; --c2: #84fcf5; --c3: #fae770; --c4: #ab594d; --c5: #6668c4;
  --k0: #cfe2f3; --k1: #7fadd6; --k2: #47719a; --k3: #27405a; --mark: #ff8a80;
  --halo: #14171b; --v0: #6fd196; --v1: #e6b95c; --v2: #ff8a80; } }
svg.chart { display: block; width: 100%; height: auto; }
svg.chart text, svg.key text { font: 13px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--text);
  font-variant-numeric: tabular-nums; }
svg.chart .quiet { fill: var(--quiet-text); }
svg .c0 { color: var(--c0); } svg .c1 { color: var(--c1); } svg .c2 { color: var(--c2); }
svg .c3 { color: var(--c3); } svg .c4 { color: var(--c4); } svg .c5 { color: var(--c5); }
svg .k0 { color: var(--k0); } svg .k1 { color: var(--k1); } svg .k2 { color: var(--k2); } svg .k3 { color: var(--k3); }
svg .v0 { color: var(--v0); } svg .v1 { color: var(--v1); } svg .v2 { color: var(--v2); }
svg text.v0, svg text.v1, svg text.v2 { fill: currentColor; }
svg .axis { stroke: var(--axis); fill: none; } svg .grid { stroke: var(--grid); fill: none; }
svg .line { stroke: currentColor; fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .d1 { stroke-dasharray: 6 3; } svg .d2 { stroke-dasharray: 2 3; } svg .d3 { stroke-dasharray: 8 3 2 3; }
svg .fill { fill: currentColor; } svg .box { fill: currentColor; stroke: var(--axis); stroke-width: .5; }
svg .point { fill: currentColor; stroke: none; } svg .whisker { stroke: var(--text); stroke-width: 1.5; fill: none; }
svg .front { stroke: var(--axis); stroke-width: 5; stroke-opacity: .35; fill: none; }
svg .mark { stroke: var(--mark); stroke-width: 1.5; fill: none; } svg text.mark { stroke: none; fill: var(--mark); }
svg text.label { fill: var(--quiet-text); paint-order: stroke; stroke: var(--halo); stroke-width: 3px; }
svg .band { fill: currentColor; opacity: .25; }
)";

std::string svg_opening(const Chart& chart, std::string_view id, std::string_view more_attributes) {
  return fmt::format(
      "<svg class=\"chart\"{} viewBox=\"0 0 {:g} {:g}\" role=\"img\" aria-labelledby=\"{}-title {}-desc\">\n"
      "<title id=\"{}-title\">{}</title>\n<desc id=\"{}-desc\">{}</desc>\n",
      more_attributes, kChartWidth, chart.height, id, id, id, escape_markup(shown(chart.title)), id,
      escape_markup(shown(chart.description, 1000)));
}

}  // namespace

std::string_view chart_style() {
  return kChartStyle;
}

std::string inline_svg(const Chart& chart, std::string_view id) {
  return svg_opening(chart, id, "") + chart.body + "</svg>\n";
}

std::string standalone_svg(const Chart& chart) {
  const std::string size = fmt::format(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{:g}\" height=\"{:g}\"",
                                       kChartWidth * 2, chart.height * 2);
  return svg_opening(chart, "chart", size) + "<style>" + std::string(kChartStyle) +
         "@media screen and (prefers-color-scheme: dark) { svg { background: #14171b; } }</style>\n" + chart.body +
         "</svg>\n";
}

std::string marker(double x, double y, SeriesLook look, std::string_view tooltip) {
  return marker(x, y, fmt::format("c{}", look.colour % kColours), look.shape, tooltip);
}

std::string marker(double x, double y, std::string_view css_class, std::size_t shape_index, std::string_view tooltip) {
  constexpr double kRadius = 4.5;
  std::string shape;
  switch (shape_index % kShapes) {
    case 0:
      shape = fmt::format("M{:.1f} {:.1f}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0", x - kRadius, y,
                          fmt::arg("r", kRadius), fmt::arg("d", 2 * kRadius));
      break;
    case 1:
      shape = fmt::format("M{:.1f} {:.1f}h8v8h-8z", x - 4, y - 4);
      break;
    case 2:
      shape = fmt::format("M{:.1f} {:.1f}l5 9h-10z", x, y - 5);
      break;
    default:
      shape = fmt::format("M{:.1f} {:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z", x, y - 5.5);
  }
  const std::string title = tooltip.empty() ? "" : "<title>" + escape_markup(shown(tooltip)) + "</title>";
  return fmt::format("<path class=\"point {}\" d=\"{}\">{}</path>\n", css_class, shape, title);
}

std::string line_class(SeriesLook look) {
  const std::size_t dash = look.shape % kShapes;
  return fmt::format("line c{}{}", look.colour % kColours, dash == 0 ? "" : fmt::format(" d{}", dash));
}

LegendEntry line_legend(std::string label, SeriesLook look) {
  return {std::move(label),
          fmt::format("<path class=\"{}\" d=\"M0 6H26\"/>", line_class(look)) + marker(13, 6, look, "")};
}

LegendEntry box_legend(std::string label, std::string_view css_class) {
  return {std::move(label),
          fmt::format("<rect class=\"box {}\" x=\"6\" y=\"1\" width=\"14\" height=\"10\"/>", css_class)};
}

std::string chart_text(std::string_view text, std::size_t max_characters) {
  std::string whole = printable(text.substr(0, 4 * max_characters + 4));
  std::size_t n = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const bool begins_character = (static_cast<unsigned char>(whole[i]) & 0xc0U) != 0x80U;
    if (begins_character && n++ == max_characters) {
      whole.resize(i);
      whole += "\u2026";
      break;
    }
  }
  return escape_markup(whole);
}

double text_width(std::string_view utf8) {
  constexpr double kCharacter = 8.2;
  const auto n =
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; });
  return kCharacter * static_cast<double>(n);
}

std::size_t characters_in(double width) {
  return static_cast<std::size_t>(std::max(4.0, width / text_width("x") - 1));
}

std::string figure_text(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1e7 || size < 1e-6) return fmt::format("{:.2e}", value);
  const int decimals = size >= 100  ? 0
                       : size >= 10 ? 1
                       : size >= 1  ? 2
                                    : 2 - static_cast<int>(std::floor(std::log10(size)));
  return fmt::format("{:.{}f}", value, decimals);
}

}  // namespace secondsource
