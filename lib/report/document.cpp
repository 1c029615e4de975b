#include "report/document.h"

#include <fmt/format.h>

#include "core/overloaded.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

std::string table_markdown(const std::string& caption, const TextTable& table) {
  return escape_markdown(caption) + "\n\n" + render_markdown(table) + "\n";
}

std::string markdown_of(const Block& block) {
  return std::visit(
      Overloaded{[](const Section& section) { return "## " + escape_markdown(section.heading) + "\n\n"; },
                 [](const Subheading& heading) { return "### " + escape_markdown(heading.text) + "\n\n"; },
                 [](const Paragraph& paragraph) { return escape_markdown(paragraph.text) + "\n\n"; },
                 [](const Callout& callout) { return "> **" + escape_markdown(callout.text) + "**\n\n"; },
                 [](const Bullets& bullets) {
                   std::string out;
                   for (const std::string& item : bullets.items) out += "- " + escape_markdown(item) + "\n";
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
  std::string out = fmt::format("# {}\n\n{}\n\n", escape_markdown(document.title), escape_markdown(document.lead));
  for (const Block& block : document.blocks) out += markdown_of(block);
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string render_html(const Document& document) {
  Page page(document.title, document.lead);
  for (const Block& block : document.blocks) add_to_page(block, page);
  return std::move(page).finish();
}

}  // namespace secondsource
