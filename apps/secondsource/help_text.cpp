#include "help_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

namespace secondsource {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kDescriptionColumn = 28;
constexpr std::string_view kExample = "Example: ";

/// The words of a text on lines of at most kColumns, of which the first begins at `column` and the others with `indent`
/// spaces; all but the last end with `line_end`.
std::string wrapped(std::string_view text, std::size_t column, std::size_t indent, std::string_view line_end = "") {
  std::string out;
  bool is_first_of_line = true;
  bool was_cut = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    // A list that is longer than a line is cut behind a comma.
    const std::size_t comma = text.substr(0, kColumns - indent).rfind(',');
    const bool is_cut = end > kColumns - indent && comma != std::string_view::npos;
    const std::string_view word = text.substr(0, is_cut ? comma + 1 : end);
    text.remove_prefix(is_cut ? comma + 1 : std::min(end + 1, text.size()));
    const std::size_t room = kColumns - (text.empty() ? 0 : line_end.size());
    if (was_cut || (!is_first_of_line && column + 1 + word.size() > room)) {
      out += fmt::format("{}\n{:{}}", line_end, "", indent);
      column = indent;
      is_first_of_line = true;
    }
    if (!is_first_of_line) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    is_first_of_line = false;
    was_cut = is_cut;
  }
  return out;
}

std::string entry(const std::string& name, const std::string& description) {
  std::string out = "  " + name;
  if (out.size() + 1 > kDescriptionColumn) {
    out += fmt::format("\n{:{}}", "", kDescriptionColumn);
  } else {
    out.resize(kDescriptionColumn, ' ');
  }
  return out + wrapped(description, kDescriptionColumn, kDescriptionColumn) + "\n";
}

std::string flags_section(const CommandDescription& command, std::string_view heading, bool of_positionals) {
  std::string out;
  for (const FlagDescription& flag : command.flags) {
    if (flag.is_positional() != of_positionals) continue;
    std::string name = flag.name;
    if (!of_positionals && !flag.value.empty()) name += " " + flag.value;
    if (flag.is_repeated) name += " ...";
    out += entry(name, full_description(flag));
  }
  return out.empty() ? out : fmt::format("\n{}:\n{}", heading, out);
}

std::string footer_text(std::string_view footer) {
  std::string out;
  while (!footer.empty()) {
    const std::size_t end = std::min(footer.find('\n'), footer.size());
    std::string_view line = footer.substr(0, end);
    footer.remove_prefix(std::min(end + 1, footer.size()));
    // An example is a command, which has a line of its own.
    const std::size_t example = line.find(kExample);
    if (example != 0) out += wrapped(line.substr(0, example), 0, 0) + "\n";
    if (example != std::string_view::npos) out += wrapped(line.substr(example), 0, 4, " \\") + "\n";
  }
  return out;
}

}  // namespace

std::string full_description(const FlagDescription& flag) {
  std::string out = flag.description;
  const auto is_named = [&](const std::string& word) { return flag.description.find(word) != std::string::npos; };
  if (!std::ranges::all_of(flag.words, is_named)) out += fmt::format(" ({})", fmt::join(flag.words, ", "));
  if (!flag.range.empty()) out += fmt::format(" ({})", flag.range);
  if (!flag.present.empty()) out += fmt::format(" (default: {})", flag.present);
  if (flag.is_required && !flag.is_positional()) out += " (required)";
  return out;
}

std::string usage_of(const CommandDescription& command) {
  std::string out = command.name + " [OPTIONS]";
  for (const FlagDescription& flag : command.flags) {
    if (!flag.is_positional()) continue;
    const std::string name = flag.name + (flag.is_repeated ? "..." : "");
    out += flag.is_required ? " " + name : fmt::format(" [{}]", name);
  }
  return command.subcommands.empty() ? out : out + " COMMAND";
}

std::string help_text(const CommandDescription& command) {
  std::string out = wrapped(command.description, 0, 0) + "\n" + wrapped("Usage: " + usage_of(command), 0, 4) + "\n";
  out += flags_section(command, "Arguments", true);
  out += flags_section(command, "Options", false);
  const std::string* group = nullptr;
  for (const CommandDescription& subcommand : command.subcommands) {
    if (group == nullptr || *group != subcommand.group) out += fmt::format("\n{}:\n", subcommand.group);
    group = &subcommand.group;
    out += entry(subcommand.word(), subcommand.description);
  }
  return command.footer.empty() ? out : out + "\n" + footer_text(command.footer);
}

}  // namespace secondsource
