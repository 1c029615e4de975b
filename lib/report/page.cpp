#include "report/page.h"

#include <fmt/format.h>

#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::string_view kPageStyle = R"(
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --quiet: #56606a; --rule: #dde2e7; --strong: #8a949e;
  --tint: #f4f6f8; --link: #1a5a9e; --good: #1a6b3c; --bad: #a8201a; --unsure: #7a5200; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e4e8ec; --quiet: #a5afb9;
  --rule: #2b3138; --strong: #66707a; --tint: #1b2026; --link: #8cc4f5; --good: #6fd196; --bad: #ff8a80; --unsure: #e6b95c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; overflow-wrap: break-word; }
header, nav, main, footer { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: 1.9rem; font-weight: 600; letter-spacing: -.01em; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; font-weight: 600; line-height: 1.3; margin: 3rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; font-weight: 600; margin: 1.8rem 0 .5rem; }
p, ul { max-width: 44rem; margin: .5rem 0 1rem; } ul { padding-left: 1.2rem; } li { overflow-wrap: anywhere; }
.lead, .note, figcaption, caption { color: var(--quiet); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; padding: 0; margin: 1.2rem 0 0; max-width: none; }
a { color: var(--link); } a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 2px; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; top: .5rem; padding: .4rem .8rem;
  background: var(--paper); z-index: 1; }
.verdict { font-size: 1.1rem; margin: .3rem 0; max-width: none; }
.verdict b { display: inline-block; width: 1.5em; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .unsure { color: var(--unsure); }
.scroll { overflow-x: auto; margin: .6rem 0 1.4rem;  /* shaded at an end beyond which there is more of the table */
  background: linear-gradient(to right, var(--paper) 40%, transparent) 0 0 / 3rem 100% local no-repeat,
    linear-gradient(to left, var(--paper) 40%, transparent) 100% 0 / 3rem 100% local no-repeat,
    linear-gradient(to right, var(--strong), transparent) 0 0 / 1rem 100% scroll no-repeat,
    linear-gradient(to left, var(--strong), transparent) 100% 0 / 1rem 100% scroll no-repeat; }
table { border-collapse: collapse; font-size: .84rem; line-height: 1.4; }
caption { text-align: left; padding: 0 0 .4rem; font-size: .9rem; }
th, td { text-align: left; padding: .32rem 1rem .32rem 0; border-bottom: 1px solid var(--rule); vertical-align: baseline;
  font-weight: 400; white-space: nowrap; }
.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 14rem; max-width: 40rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: min(44rem, calc(100vw - 2rem)); }
thead th { font-weight: 600; white-space: normal; border-bottom: 2px solid var(--strong); vertical-align: bottom; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th.number { white-space: normal; } td.split { white-space: normal; } td.split span { display: inline-block; white-space: nowrap; }
tbody tr:hover { background: var(--tint); }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 29rem), 1fr)); gap: 1.6rem 2.5rem;
  align-items: start; }
figure { margin: 0; min-width: 0; } figcaption { font-size: .95rem; color: var(--ink); margin-bottom: .5rem;
  overflow-wrap: anywhere; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; padding: 0; margin: .3rem 0; font-size: .84rem; }
.legend svg { width: 26px; height: 12px; margin-right: .35rem; vertical-align: baseline; }
details { font-size: .84rem; margin: .2rem 0 .6rem; } summary { cursor: pointer; color: var(--link); width: fit-content;
  overflow-wrap: anywhere; }
pre { background: var(--tint); padding: .8rem 1rem; overflow-x: auto; font: .84rem/1.5 ui-monospace, "DejaVu Sans Mono",
  monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { color: var(--quiet); font-size: .84rem; padding-top: 2rem; padding-bottom: 3rem; }
@media (max-width: 40rem) { body { font-size: 15px; } h1 { font-size: 1.5rem; } header { padding-top: 1.5rem; }
  header, nav, main, footer { padding-left: .9rem; padding-right: .9rem; }
  .scroll th[scope=row] { white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem; max-width: 9rem; }
  .wrap { min-width: 11rem; } }
@page { size: A4; margin: 15mm 14mm; }
@media print { body { font-size: 9.5pt; } nav, .skip, details { display: none; } header, main, footer { padding: 0;
  max-width: none; } header { padding-top: 0; } h1 { font-size: 17pt; } h3 { font-size: 10pt; }
  h2 { font-size: 12pt; margin: 1.1rem 0 .3rem; padding-top: .5rem; } h2, h3, caption { break-after: avoid; }
  p, ul { max-width: none; margin: .25rem 0 .5rem; } caption { font-size: 8pt; } .verdict { font-size: 11pt; }
  table { font-size: 7.4pt; width: 100%; } th, td { padding-right: .25rem; overflow-wrap: break-word; }
  td.split span + span { white-space: normal; } .text { white-space: normal; } .text, .wrap { overflow-wrap: anywhere; }
  .text { min-width: 7em; } .wrap { min-width: 9em; max-width: 26em; } .scroll { overflow: visible; margin: .3rem 0 .8rem; background: none; }
  h2 + *, h3 + * { break-before: avoid; } h2 + p, h3 + p { break-after: avoid; orphans: 3; } .figures { break-before: avoid; }
  tbody tr:first-child { break-before: avoid; }
  .figures { grid-template-columns: 1fr 1fr; gap: 1rem 1.4rem; } figure, tr, .verdict { break-inside: avoid; }
  .legend, figcaption { font-size: 8pt; } a { color: inherit; text-decoration: none; } }
)";

/// The policy prevents requests and scripts even if a text is not escaped by mistake.
constexpr std::string_view kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

std::string text_of(std::string_view text) {
  return escape_markup(shown(text, kLongText));
}

std::string legend_of(const Chart& chart) {
  if (chart.legend.empty()) return "";
  std::string out = "<ul class=\"legend\">";
  for (const LegendEntry& entry : chart.legend) {
    out += fmt::format("<li><svg class=\"key\" viewBox=\"0 0 26 12\" aria-hidden=\"true\">{}</svg>{}</li>",
                       entry.symbol, escape_markup(shown(entry.label, 80)));
  }
  return out + "</ul>\n";
}

}  // namespace

Page::Page(std::string_view title, std::string_view lead) : title_(text_of(title)), lead_(text_of(lead)) {}

std::string Page::next_id() {
  return fmt::format("n{}", ++n_ids_);
}

void Page::section(std::string_view id, std::string_view heading) {
  if (in_section_) body_ += "</section>\n";
  in_section_ = true;
  const std::string text = text_of(heading);
  contents_ += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", id, text);
  body_ +=
      fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-heading\">\n<h2 id=\"{0}-heading\">{1}</h2>\n", id, text);
}

void Page::heading(std::string_view text) {
  body_ += "<h3>" + text_of(text) + "</h3>\n";
}

void Page::paragraph(std::string_view text) {
  body_ += "<p>" + text_of(text) + "</p>\n";
}

void Page::list(std::span<const std::string> lines) {
  if (lines.empty()) return;
  body_ += "<ul>\n";
  for (const std::string& line : lines) body_ += "<li>" + text_of(line) + "</li>\n";
  body_ += "</ul>\n";
}

void Page::verdict(Tone tone, std::string_view text) {
  const auto [css_class, sign] = tone == Tone::kGood  ? std::pair("good", "\u2713")
                                 : tone == Tone::kBad ? std::pair("bad", "\u2717")
                                                      : std::pair("unsure", "?");
  body_ +=
      fmt::format("<p class=\"verdict {}\"><b aria-hidden=\"true\">{}</b>{}</p>\n", css_class, sign, text_of(text));
}

void Page::table(const TextTable& table, std::string_view caption) {
  const std::string id = next_id();
  // A wide table scrolls on its own. To scroll it with the keyboard, it needs focus and a name.
  body_ += fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{}\">\n", id);
  body_ += render_html(table, {.caption = std::string(caption), .caption_id = id}) + "</div>\n";
}

void Page::folded_table(const TextTable& table, std::string_view caption) {
  body_ += "<details><summary>" + text_of(caption) + "</summary>\n";
  this->table(table, caption);
  body_ += "</details>\n";
}

void Page::charts(std::span<const Chart> charts) {
  body_ += "<div class=\"figures\">\n";
  for (const Chart& chart : charts) {
    if (chart.body.empty()) continue;
    const std::string id = next_id();
    body_ += fmt::format("<figure>\n<figcaption>{}</figcaption>\n", escape_markup(shown(chart.title)));
    body_ += inline_svg(chart, id) + legend_of(chart);
    folded_table(chart.table, "Numbers: " + chart.title);
    body_ += "</figure>\n";
  }
  body_ += "</div>\n";
}

void Page::command(std::string_view text) {
  body_ += "<pre><code>" + escape_markup(printable(text)) + "</code></pre>\n";
}

std::string Page::finish() && {
  if (in_section_) body_ += "</section>\n";
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>{}</title>\n<style>{}{}</style>\n"
      "</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n<header>\n<h1>{}</h1>\n"
      "<p class=\"lead\">{}</p>\n</header>\n",
      kPolicy, title_, kPageStyle, chart_style(), title_, lead_);
  if (!contents_.empty()) out += "<nav aria-label=\"Contents\">\n<ul>\n" + contents_ + "</ul>\n</nav>\n";
  return out + "<main id=\"main\" tabindex=\"-1\">\n" + body_ +
         "</main>\n<footer>\nWritten by secondsource. Nothing on this page was fetched from anywhere.\n</footer>\n"
         "</body>\n</html>\n";
}

}  // namespace secondsource
