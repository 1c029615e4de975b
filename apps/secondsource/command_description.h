#pragma once
// What each command and each of its flags is for, as plain data. Help (help_text.h), manual pages (manual_page.h) and the
// completions of shells (completion.h) are made from it.

#include <string>
#include <vector>

namespace secondsource {

struct FlagDescription {
  std::string name;                  ///< "--threads"; a positional argument's name has no dashes
  std::string value{};               ///< what its value is, as "TEXT" or "N"; empty for a flag without one
  std::vector<std::string> words{};  ///< the values it may have; empty: any
  std::string range{};               ///< "1 to 4096"; empty: any
  std::string present{};             ///< its value when it is not given, where the help shows it
  std::string description{};
  bool is_repeated = false;  ///< takes several values
  char separator = 0;        ///< between values in one word; 0: there is one value in a word
  bool is_required = false;

  [[nodiscard]] bool is_positional() const { return !name.starts_with("-"); }
};

struct CommandDescription {
  std::string name;  ///< as it is typed: "secondsource bundle create"
  std::string description, footer;
  std::string group{};  ///< the heading in the help of the command above
  std::vector<FlagDescription> flags{};
  std::vector<CommandDescription> subcommands{};  ///< in the order of the help, without hidden ones

  /// The last word of the name: "create".
  [[nodiscard]] std::string word() const { return name.substr(name.find_last_of(' ') + 1); }
};

}  // namespace secondsource
