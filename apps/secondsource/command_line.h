#pragma once
// Commands, their flags and their help:
//
//   CommandNode* command = app.add_subcommand("check", "Golden prompts only: are the tokens right?");
//   command->add_option("--threads", options->n_threads, "Threads of each backend")->check(Range(0, 4096));
//   command->footer("Example: secondsource check bundles/default");
//   command->callback([options, &action] { action = ...; });
//
// The implementation is CLI11. Only command_line.cpp includes it, because CLI11 consists of headers alone, and compiling
// them with every command would take most of the time of building the program.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "command_description.h"
#include "core/result.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace secondsource {

/// What the value of a flag must be.
struct FlagCheck {
  struct Int32Range {
    std::int32_t smallest, largest;
  };
  struct Int64Range {
    std::int64_t smallest, largest;
  };
  struct DoubleRange {
    double smallest, largest;
  };
  struct OneOf {
    std::vector<std::string> words;
  };
  struct Positive {};
  struct NotNegative {};
  std::variant<Int32Range, Int64Range, DoubleRange, OneOf, Positive, NotNegative> rule;
};

inline FlagCheck Range(std::int32_t smallest, std::int32_t largest) {
  return {FlagCheck::Int32Range{smallest, largest}};
}
inline FlagCheck Range(std::int64_t smallest, std::int64_t largest) {
  return {FlagCheck::Int64Range{smallest, largest}};
}
inline FlagCheck Range(double smallest, double largest) {
  return {FlagCheck::DoubleRange{smallest, largest}};
}
inline FlagCheck OneOf(std::vector<std::string> words) {
  return {FlagCheck::OneOf{std::move(words)}};
}
inline FlagCheck Positive() {
  return {FlagCheck::Positive()};
}
inline FlagCheck NotNegative() {
  return {FlagCheck::NotNegative()};
}

/// A flag, or a positional argument.
class Flag {
 public:
  Flag(CLI::Option* option, FlagDescription description) : option_(option), description_(std::move(description)) {}
  Flag* required();
  Flag* check(const FlagCheck& check);
  /// "a,b" are two values. A repeated word in a list of words is refused (repeated_word()), so that nothing is measured
  /// or printed twice; numbers may repeat.
  Flag* delimiter(char separator);
  Flag* capture_default_str();  ///< the help shows the present value as the default
  Flag* excludes(const Flag* other);
  Flag* needs(const Flag* other);  ///< without the other flag this one is refused, since it would have no effect
  /// Allows an empty value. Other flags refuse it: most often it comes from a shell variable that is not set, and it must
  /// not be taken for a flag that was not given.
  Flag* may_be_empty();
  [[nodiscard]] std::size_t count() const;  ///< how often it was given
  /// Why the values that were given are refused for one that is empty; nullopt if none is, or it may be.
  [[nodiscard]] std::optional<std::string> fault_of_empty_value() const;
  /// Why a word is refused in which a list has an empty value, as in "a,,b"; nullopt if it has none.
  [[nodiscard]] std::optional<std::string> fault_of_empty_part(const std::string& word) const;
  /// For a list of words, a word that was given twice; nullopt if there is none.
  [[nodiscard]] std::optional<std::string> repeated_word() const;
  [[nodiscard]] const FlagDescription& description() const { return description_; }

 private:
  CLI::Option* option_;
  FlagDescription description_;
  bool may_be_empty_ = false;
};

/// Where the value of a flag is stored.
using FlagTarget = std::variant<std::string*, std::vector<std::string>*, std::vector<std::int32_t>*, std::int32_t*,
                                std::int64_t*, std::uint32_t*, std::uint64_t*, float*, double*, std::optional<double>*,
                                std::optional<std::uint64_t>*>;

class CommandNode {
 public:
  explicit CommandNode(CLI::App* app) : app_(app) {}
  CommandNode(const CommandNode&) = delete;
  CommandNode& operator=(const CommandNode&) = delete;

  CommandNode* add_subcommand(const std::string& name, const std::string& description);
  /// A name that begins with "--" is a flag's, any other one a positional argument's.
  template <typename T>
  Flag* add_option(const std::string& name, T& target, const std::string& description = {}) {
    return add_option_to(name, FlagTarget(&target), description);
  }
  Flag* add_option(const std::string& name, const std::function<void(const std::string&)>& take,
                   const std::string& description);
  Flag* add_flag(const std::string& name, bool& target, const std::string& description);
  void require_subcommand();
  void footer(const std::string& text);  ///< the end of the help, with an example
  void group(const std::string& name);   ///< the heading in the help of the command above; empty: not shown
  void callback(std::function<void()> action);
  [[nodiscard]] CommandDescription describe() const;
  /// The names of the flags and positional arguments on the command line, in the order of the help.
  [[nodiscard]] std::vector<std::string> given() const;

 private:
  friend class CommandLine;
  /// The node of a command below this one, or this one; nullptr if it is none of them.
  [[nodiscard]] const CommandNode* find(const CLI::App* command) const;
  Flag* add_option_to(const std::string& name, FlagTarget target, const std::string& description);
  /// Why the flags that were given are refused; nullopt if they are accepted.
  [[nodiscard]] std::optional<std::string> fault_of_flags() const;
  /// The flag of that name if it has a value; nullptr otherwise.
  [[nodiscard]] const Flag* flag_with_value(const std::string& name) const;
  /// The words of a command line with each `--flag=` as two words, the flag and its empty value: CLI11 would take the next
  /// word as the value. Errors: kInvalidInput for a list with an empty value, which CLI11 would leave out.
  [[nodiscard]] Result<std::vector<std::string>> with_empty_values(const std::vector<std::string>& words) const;

  CLI::App* app_;
  std::string group_ = "Commands";
  std::deque<CommandNode> commands_;
  std::deque<Flag> flags_;
};

/// The whole command line.
class CommandLine {
 public:
  struct Text {
    std::string name, version, description, footer;
  };
  explicit CommandLine(const Text& text);
  ~CommandLine();

  CommandNode& root() { return root_; }
  /// The program with all commands that were added.
  [[nodiscard]] CommandDescription describe() const { return root_.describe(); }
  /// Stores the values and calls the callback of the given command. If help or a refusal was printed instead, returns the
  /// exit status.
  std::optional<int> parse(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
  CommandNode root_;
};

/// The words of a command line that `flag` gives as one text; a quote at the beginning of a word keeps spaces. Errors:
/// kInvalidInput for a quote that is not closed.
Result<std::vector<std::string>> split_words(const std::string& flag, const std::string& text);

}  // namespace secondsource
