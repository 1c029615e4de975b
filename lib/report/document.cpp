#include "report/document.h"

#include <fmt/format.h>

#include <utility>
#include <variant>

#include "core/overloaded.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

std::string markdown_text(std::string_view text) {
  return escape_markdown(shown(text, kLongText));
}

std::string table_markdown(const std::string& caption, const TextTable& table) {
  return markdown_text(caption) + "\n\n" + render_markdown(table) + "\n";
}

std::string markdown_of(const Block& block) {
  return std::visit(Overloaded{[](const Section& section) { return "## " + markdown_text(section.heading) + "\n\n"; },
                               [](const Subheading& heading) { return "### " + markdown_text(heading.text) + "\n\n"; },
                               [](const Paragraph& paragraph) { return markdown_text(paragraph.text) + "\n\n"; },
                               [](const Callout& callout) { return "> **" + markdown_text(callout.text) + "**\n\n"; },
                               [](const Bullets& bullets) {
                                 std::string out;
                                 for (const std::string& item : bullets.items) out += "- " + markdown_text(item) + "\n";
                                 return out + "\n";
                               },
                               [](const CaptionedTable& table) { return table_markdown(table.caption, table.table); },
                               [](const FoldedTable& table) { return table_markdown(table.caption, table.table); },
                               [](const Charts&) { return std::string(); },
                               [](const Command& command) { return "    " + printable(command.text) + "\n\n"; }},
                    block);
}

void add_to_page(const Block& block, Page& page) {
  std::visit(Overloaded{[&](const Section& section) { page.section(section.id, section.heading); },
                        [&](const Subheading& heading) { page.heading(heading.text); },
                        [&](const Paragraph& paragraph) { page.paragraph(paragraph.text); },
                        [&](const Callout& callout) { page.verdict(callout.tone, callout.text); },
                        [&](const Bullets& bullets) { page.list(bullets.items); },
                        [&](const CaptionedTable& table) { page.table(table.table, table.caption); },
                        [&](const FoldedTable& table) { page.folded_table(table.table, table.caption); },
                        [&](const Charts& drawn) { page.charts(drawn.charts); },
                        [&](const Command& command) { page.command(command.text); }},
             block);
}

}  // namespace

std::string render_markdown(const Document& document) {
  std::string out = fmt::format("# {}\n\n{}\n\n", markdown_text(document.title), markdown_text(document.lead));
  std::string
      heading;  // of a section of which nothing has been written; a section of charts alone is left out with its heading
  for (const Block& block : document.blocks) {
    const std::string text = markdown_of(block);
    if (std::holds_alternative<Section>(block)) {
      heading = text;
    } else if (!text.empty()) {
      out += std::exchange(heading, "") + text;
    }
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string render_html(const Document& document) {
  Page page(document.title, document.lead);
  for (const Block& block : document.blocks) add_to_page(block, page);
  return std::move(page).finish();
}

}  // namespace secondsource
