#include "manual_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/file.h"
#include "core/folder.h"
#include "help_text.h"

namespace secondsource {
namespace {

/// Text for troff: its escapes written out, and no line that begins with a control character.
std::string roff(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool begins_line = i == 0 || text[i - 1] == '\n';
    if (begins_line && (text[i] == '.' || text[i] == '\'')) out += "\\&";
    switch (text[i]) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      default:
        out += text[i];
    }
  }
  return out;
}

std::string hyphenated(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string manual_flags(const CommandDescription& command, std::string_view heading, bool of_positionals) {
  std::string out;
  for (const FlagDescription& flag : command.flags) {
    if (flag.is_positional() != of_positionals) continue;
    out += fmt::format(".TP\n\\fB{}\\fR", roff(flag.name));
    if (!of_positionals && !flag.value.empty()) out += fmt::format(" \\fI{}\\fR", roff(flag.value));
    out += fmt::format("{}\n{}\n", flag.is_repeated ? " ..." : "", roff(full_description(flag)));
  }
  return out.empty() ? out : fmt::format(".SH {}\n{}", heading, out);
}

}  // namespace

std::string manual_page(const CommandDescription& command, std::string_view version) {
  std::string upper = hyphenated(command.name);
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string out = fmt::format(".TH {} 1 \"\" \"{}\"\n", upper, roff(version));
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(hyphenated(command.name)), roff(command.description));
  out += fmt::format(".SH SYNOPSIS\n\\fB{}\\fR{}\n", roff(command.name),
                     roff(usage_of(command).substr(command.name.size())));
  out += manual_flags(command, "ARGUMENTS", true);
  out += manual_flags(command, "OPTIONS", false);
  if (!command.subcommands.empty()) out += ".SH COMMANDS\n";
  for (const CommandDescription& child : command.subcommands) {
    out += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", roff(hyphenated(child.name)), roff(child.description));
  }
  // Lines are kept: an example is a command.
  if (!command.footer.empty()) out += fmt::format(".SH NOTES\n.nf\n{}\n.fi\n", roff(command.footer));
  return out;
}

Result<void> write_manual_pages(const CommandDescription& program, std::string_view version,
                                const std::filesystem::path& folder) {
  SS_TRY_VOID(create_folder(folder));
  SS_TRY_VOID(write_file(folder / (hyphenated(program.name) + ".1"), manual_page(program, version)));
  for (const CommandDescription& child : program.subcommands) SS_TRY_VOID(write_manual_pages(child, version, folder));
  return {};
}

}  // namespace secondsource
