#include "completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

#include "core/shell_text.h"
#include "core/variant_name.h"

namespace secondsource {
namespace {

using VisitCommand = std::function<void(const CommandDescription& command, const std::string& path)>;

/// Visits every command with the words behind the program's name: "", "run", "bundle", "bundle create".
void visit_commands(const CommandDescription& command, const std::string& path, const VisitCommand& visit) {
  visit(command, path);
  for (const CommandDescription& child : command.subcommands) {
    visit_commands(child, path.empty() ? child.word() : path + " " + child.word(), visit);
  }
}

std::string escaped(std::string_view text, std::string_view special, std::string_view before) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += before;
    out += c;
  }
  return out;
}

std::vector<std::string> words_of(const CommandDescription& command) {
  std::vector<std::string> words;
  for (const CommandDescription& child : command.subcommands) words.push_back(child.word());
  for (const FlagDescription& flag : command.flags) {
    if (!flag.is_positional()) words.push_back(flag.name);
  }
  return words;
}

/// Returns the values that a shell offers for a flag. If there are none, it offers file names.
std::vector<std::string> offered_values(const FlagDescription& flag, const std::vector<std::string>& backends) {
  if (flag.name == "--backend" || flag.name == "--require") return backends;
  if (flag.name == "--variant") return {kVariantNames.begin(), kVariantNames.end()};  // others are allowed, too
  return flag.words;
}

std::string bash_script(const CommandDescription& program, const std::vector<std::string>& backends) {
  std::string paths, values, words;
  visit_commands(program, "", [&](const CommandDescription& command, const std::string& path) {
    if (!path.empty()) paths += (paths.empty() ? "" : " | ") + single_quoted(path);
    words += fmt::format("    {}) words={} ;;\n", single_quoted(path),
                         single_quoted(fmt::format("{}", fmt::join(words_of(command), " "))));
    for (const FlagDescription& flag : command.flags) {
      if (flag.is_positional() || flag.value.empty()) continue;
      // If no values are offered, bash completes file names. Of a comma-separated list it completes the last value and keeps the others.
      values += fmt::format("    {}) COMPREPLY=($(compgen {}-W {} -- \"{}\")); return ;;\n",
                            single_quoted(path + " " + flag.name), flag.separator == 0 ? "" : "-P \"$before\" ",
                            single_quoted(fmt::format("{}", fmt::join(offered_values(flag, backends), " "))),
                            flag.separator == 0 ? "$word" : "${word##*,}");
    }
  });
  return fmt::format(R"(# Completion of {0} in bash: source <({0} completion bash)
_{0}() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} command= words= before= i longer
  for ((i = 1; i < COMP_CWORD; i++)); do
    longer=${{command:+$command }}${{COMP_WORDS[i]}}
    case $longer in
    {1}) command=$longer ;;
    esac
  done
  COMPREPLY=()
  [[ $word == *,* ]] && before=${{word%,*}},
  case "$command $previous" in
{2}  esac
  case $command in
{3}  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o bashdefault -o default -F _{0} {0}
)",
                     program.name, paths, values, words);
}

/// A specification for _arguments: '--threads[Threads of each backend]:N:'.
std::string zsh_argument(const FlagDescription& flag, const std::vector<std::string>& backends) {
  const std::vector<std::string> offered = offered_values(flag, backends);
  const std::string words = fmt::format("{}", fmt::join(offered, " "));
  std::string values = "_files";
  if (!offered.empty()) values = flag.separator == 0 ? fmt::format("({})", words) : "_values -s , value " + words;
  if (flag.is_positional()) return fmt::format("{}:{}:{}", flag.is_repeated ? "*" : "", flag.name, values);
  const std::string text = escaped(flag.description, "[]:\\", "\\");
  return fmt::format("{}{}[{}]{}", flag.is_repeated ? "*" : "", flag.name, text,
                     flag.value.empty() ? "" : fmt::format(":{}:{}", flag.value, values));
}

/// "_secondsource_bundle_create".
std::string zsh_function(const CommandDescription& command) {
  std::string name = "_" + command.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

std::string zsh_script(const CommandDescription& program, const std::vector<std::string>& backends) {
  std::string functions;
  visit_commands(program, "", [&](const CommandDescription& command, const std::string&) {
    functions += zsh_function(command) + "() {\n";
    std::string arguments;
    for (const FlagDescription& flag : command.flags)
      arguments += fmt::format(" \\\n    {}", single_quoted(zsh_argument(flag, backends)));
    if (command.subcommands.empty()) {
      functions += fmt::format("  _arguments{}\n}}\n", arguments);
      return;
    }
    std::string names, calls;
    for (const CommandDescription& child : command.subcommands) {
      names += fmt::format("    {}\n", single_quoted(escaped(child.word(), ":", "\\") + ":" + child.description));
      calls += fmt::format("    {}) {} ;;\n", child.word(), zsh_function(child));
    }
    functions += fmt::format(R"(  local -a commands=(
{})
  local line state
  _arguments -C{} \
    '1: :->command' '*::argument:->rest'
  case $state in
  command) _describe command commands ;;
  rest)
    case $line[1] in
{}    esac ;;
  esac
}}
)",
                             names, arguments, calls);
  });
  return fmt::format("#compdef {0}\n# Completion of {0} in zsh: source <({0} completion zsh)\n{1}compdef _{0} {0}\n",
                     program.name, functions);
}

/// The commands that have a subcommand of this name: history, prices, ... for "check".
std::vector<std::string> parents_of(const CommandDescription& program, std::string_view name) {
  std::vector<std::string> parents;
  for (const CommandDescription& command : program.subcommands) {
    const auto has_name = [&](const CommandDescription& child) { return child.word() == name; };
    if (std::ranges::any_of(command.subcommands, has_name)) parents.push_back(command.word());
  }
  return parents;
}

/// Whether the words of a line are those of a command, as a condition of fish.
std::string fish_condition(const CommandDescription& program, const std::string& path) {
  std::string condition;
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    condition +=
        fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  // fish looks for a word anywhere on the line, so that "history check" would look like "check", too.
  const std::vector<std::string> parents = parents_of(program, path);
  if (!parents.empty()) condition += fmt::format("; and not __fish_seen_subcommand_from {}", fmt::join(parents, " "));
  return condition;
}

/// Formats the offered values for the option -a of fish's command `complete`.
std::string fish_values(const FlagDescription& flag, const std::vector<std::string>& offered) {
  const std::string words = fmt::format("{}", fmt::join(offered, " "));
  return flag.separator == 0 ? words : fmt::format("(__fish_append , {})", words);
}

std::string fish_script(const CommandDescription& program, const std::vector<std::string>& backends) {
  std::string out = fmt::format("# Completion of {0} in fish: {0} completion fish | source\n", program.name);
  visit_commands(program, "", [&](const CommandDescription& command, const std::string& path) {
    const std::string condition = fish_condition(program, path);
    std::vector<std::string> children;
    for (const CommandDescription& child : command.subcommands) children.push_back(child.word());
    const std::string before =
        path.empty() ? "__fish_use_subcommand"
                     : fmt::format("{}; and not __fish_seen_subcommand_from {}", condition, fmt::join(children, " "));
    for (const CommandDescription& child : command.subcommands) {
      out += fmt::format("complete -c {} -f -n {} -a {} -d {}\n", program.name, single_quoted(before), child.word(),
                         single_quoted(escaped(child.description, "\\", "\\")));
    }
    for (const FlagDescription& flag : command.flags) {
      if (flag.is_positional()) continue;
      const std::vector<std::string> offered = offered_values(flag, backends);
      out += fmt::format("complete -c {} {} -l {}{}{} -d {}\n", program.name,
                         path.empty() ? "-n __fish_use_subcommand" : "-n " + single_quoted(condition),
                         flag.name.substr(2), flag.value.empty() ? "" : " -r",
                         offered.empty() ? "" : fmt::format(" -f -a {}", single_quoted(fish_values(flag, offered))),
                         single_quoted(escaped(flag.description, "\\", "\\")));
    }
  });
  return out;
}

}  // namespace

std::string completion_script(Shell shell, const CommandDescription& program,
                              const std::vector<std::string>& backends) {
  switch (shell) {
    case Shell::kBash:
      return bash_script(program, backends);
    case Shell::kZsh:
      return zsh_script(program, backends);
    case Shell::kFish:
      return fish_script(program, backends);
  }
  return {};
}

}  // namespace secondsource
