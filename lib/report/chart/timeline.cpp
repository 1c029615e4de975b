#include "report/chart/timeline.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/counted.h"
#include "report/chart/axes.h"

namespace secondsource {

Chart timeline_chart(std::string title, std::span<const RequestSpan> spans, std::int64_t n_left_out) {
  Chart chart;
  chart.title = std::move(title);
  chart.table.columns = {"request", "due ms", "started ms", "first token ms", "last token ms"};
  chart.table.right_aligned.assign(5, true);
  if (spans.empty()) return chart;
  std::vector<double> ends;
  for (const RequestSpan& span : spans) ends.push_back(span.last_token_ms);
  const double row = std::clamp(200.0 / static_cast<double>(spans.size()), 2.5, 12.0);
  const PlotArea area{.left = 1, .top = 4, .right = 466, .bottom = 8 + row * static_cast<double>(spans.size())};
  const Axis x{Scale::from_zero(ends, area.left, area.right), "ms from the start of the repetition"};
  chart.height = area.bottom + 44;
  chart.body = draw_x_axis(area, x);
  double y = area.top + 2;
  for (const RequestSpan& span : spans) {
    const auto part = [&](double from_ms, double to_ms, const char* css_class) {
      const double width = x.scale.at(to_ms) - x.scale.at(from_ms);
      if (width < 0.05) return std::string();
      return fmt::format("<rect class=\"fill {}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>",
                         css_class, x.scale.at(from_ms), y, width, row * 0.8);
    };
    chart.body +=
        fmt::format("<g><title>request {}: due {} ms, first token {} ms, last {} ms</title>", span.request,
                    figure_text(span.scheduled_ms), figure_text(span.first_token_ms), figure_text(span.last_token_ms));
    chart.body += part(span.scheduled_ms, span.started_ms, "k2");
    chart.body += part(span.started_ms, span.first_token_ms, "k1");
    chart.body += part(span.first_token_ms, span.last_token_ms, "k0") + "</g>\n";
    chart.table.rows.push_back({fmt::to_string(span.request), figure_text(span.scheduled_ms),
                                figure_text(span.started_ms), figure_text(span.first_token_ms),
                                figure_text(span.last_token_ms)});
    y += row;
  }
  chart.legend = {box_legend("waiting", "k2"), box_legend("prefill", "k1"), box_legend("decode", "k0")};
  chart.description = fmt::format(
      "A line for each of {}{}: waiting, prefill and decode, over {} ms.", counted(spans.size(), "request"),
      n_left_out > 0 ? fmt::format(" ({} left out)", counted(n_left_out, "later one is", "later ones are")) : "",
      figure_text(*std::max_element(ends.begin(), ends.end())));
  return chart;
}

}  // namespace secondsource
