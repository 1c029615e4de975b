#include "command_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <deque>
#include <iostream>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <utility>

#include "command.h"
#include "core/nearest_word.h"
#include "core/number.h"
#include "core/utf8.h"
#include "exit_status.h"
#include "help_text.h"

namespace secondsource {
namespace {

// A refusal shows at most this many characters of a word that it repeats, and has at most this many in all.
constexpr std::size_t kMaxWord = 80;
constexpr std::size_t kMaxRefusal = 2000;

constexpr const char* kTextValue = "TEXT";      // what a value that is a text is called in the help
constexpr const char* kFractionValue = "X";     // and a number
constexpr const char* kWholeNumberValue = "N";  // and a whole number

/// Why a value is refused that had to be `what`.
std::string refusal_of_value(std::string_view what, const std::string& value) {
  return fmt::format("expected {}, found {}", what, in_quotes(value));
}

template <typename T>
std::string fault_of_number(const std::string& text, T smallest, T largest) {
  T value{};
  if (CLI::detail::lexical_cast(text, value) && value >= smallest && value <= largest) return "";
  return refusal_of_value(
      fmt::format("a {} from {} to {}", std::is_integral_v<T> ? "whole number" : "number", smallest, largest), text);
}

/// Why a value is refused; empty if it is accepted.
std::string fault_of_value(const FlagCheck& check, const std::string& text) {
  return std::visit(
      [&](const auto& rule) -> std::string {
        using Rule = std::decay_t<decltype(rule)>;
        if constexpr (std::is_same_v<Rule, FlagCheck::OneOf>) {
          if (std::ranges::find(rule.words, text) != rule.words.end()) return "";
          return refusal_of_value(fmt::format("one of {}", fmt::join(rule.words, ", ")), text) +
                 did_you_mean(text, rule.words);
        } else if constexpr (std::is_same_v<Rule, FlagCheck::Positive>) {
          return CLI::PositiveNumber(text).empty() ? "" : refusal_of_value("a number above 0", text);
        } else if constexpr (std::is_same_v<Rule, FlagCheck::NotNegative>) {
          return CLI::NonNegativeNumber(text).empty() ? "" : refusal_of_value("a number of 0 or more", text);
        } else {
          return fault_of_number(text, rule.smallest, rule.largest);
        }
      },
      check.rule);
}

/// Why a text is no number for a target without a sign; empty if it is one. CLI11 would wrap a negative number or one that
/// is too large around. The largest is that of a plan file.
std::string fault_of_unsigned(const std::string& text) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  const auto value = parse_number<std::int64_t>(text);
  if (value && *value >= 0) return "";
  return refusal_of_value(fmt::format("a whole number from 0 to {}", kLargest), text);
}

CLI::Validator validator_of(const FlagCheck& check) {
  return CLI::Validator([check](const std::string& text) { return fault_of_value(check, text); }, "");
}

/// What a value of this type is called in the help.
std::string value_name(const FlagTarget& target) {
  return std::visit(
      [](const auto* value) -> std::string {
        using Value = std::decay_t<decltype(*value)>;
        if constexpr (std::is_same_v<Value, std::string> || std::is_same_v<Value, std::vector<std::string>>) {
          return kTextValue;
        } else if constexpr (std::is_same_v<Value, float> || std::is_same_v<Value, double> ||
                             std::is_same_v<Value, std::optional<double>>) {
          return kFractionValue;
        } else {
          return kWholeNumberValue;
        }
      },
      target);
}

bool takes_several(const FlagTarget& target) {
  return std::holds_alternative<std::vector<std::string>*>(target) ||
         std::holds_alternative<std::vector<std::int32_t>*>(target);
}

std::string range_text(const FlagCheck& check) {
  return std::visit(
      [](const auto& rule) -> std::string {
        using Rule = std::decay_t<decltype(rule)>;
        if constexpr (std::is_same_v<Rule, FlagCheck::OneOf>) {
          return "";
        } else if constexpr (std::is_same_v<Rule, FlagCheck::Positive>) {
          return "above 0";
        } else if constexpr (std::is_same_v<Rule, FlagCheck::NotNegative>) {
          return "0 or more";
        } else {
          return fmt::format("{} to {}", rule.smallest, rule.largest);
        }
      },
      check.rule);
}

std::vector<CLI::App*> subcommands_of(CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

/// The innermost command that the words name, and the first word that is not one of its subcommands.
struct Place {
  CLI::App* command;
  std::string unknown;  ///< empty: every word was a command
};
Place find_place(CLI::App& root, const std::vector<std::string>& words) {
  Place place{&root, {}};
  for (const std::string& word : words) {
    const std::vector<CLI::App*> commands = subcommands_of(*place.command);
    const auto next = std::find_if(commands.begin(), commands.end(),
                                   [&](const CLI::App* command) { return command->get_name() == word; });
    if (next == commands.end()) return {place.command, word};
    place.command = *next;
  }
  return place;
}

std::vector<std::string> subcommand_names(CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* child : subcommands_of(command)) {
    if (!child->get_group().empty()) names.push_back(child->get_name());
  }
  return names;
}

std::vector<std::string> flag_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// "secondsource history add", as it is typed.
std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : full_name(*parent) + " " + command.get_name();
}

/// The innermost command that was given.
CLI::App* given_command(CLI::App& root) {
  CLI::App* command = &root;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().front();
  return command;
}

/// One line about a word that is not known, with the known word that it may have been meant for.
std::string refusal_of_word(CLI::App& command, const std::string& word) {
  const bool is_flag = word.rfind("--", 0) == 0;
  const std::vector<std::string> known = is_flag ? flag_names(command) : subcommand_names(command);
  const std::string name = is_flag ? word.substr(0, word.find('=')) : word;
  const bool is_root = command.get_parent() == nullptr;
  const std::string where = is_root ? "" : command.get_name() + ": ";
  std::string text = is_flag         ? fmt::format("{}there is no flag {}", where, shown(name, kMaxWord))
                     : known.empty() ? fmt::format("{}expected no further argument, found {}", where, in_quotes(word))
                                     : fmt::format("{}there is no command {}", where, in_quotes(word));
  text += did_you_mean(name, known);
  return text + fmt::format(" ({} says more)", is_root ? command.get_name() + " help" : full_name(command) + " --help");
}

/// The two parts of `text` around `separator`; the second one is empty without it.
std::pair<std::string, std::string> parted(const std::string& text, std::string_view separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string::npos) return {text, ""};
  return {text.substr(0, at), text.substr(at + separator.size())};
}

/// One line for an error that CLI11 reports in words of its own. `flags` are those of `command`.
std::string refusal_of(const CLI::ParseError& error, CLI::App& command, const std::deque<Flag>& flags) {
  const std::string text = error.what();
  const auto code = static_cast<CLI::ExitCodes>(error.get_exit_code());
  if (code == CLI::ExitCodes::RequiredError) {
    const auto [name, rest] = parted(text, " is required");
    if (name == "A subcommand") {
      return fmt::format("{}: expected a command ({}), found none", command.get_name(),
                         fmt::join(subcommand_names(command), ", "));
    }
    return fmt::format("{}: expected {}{}, found none", command.get_name(),
                       name.starts_with("--") ? "" : "the argument ", name);
  }
  if (code == CLI::ExitCodes::ConversionError) {
    const auto [name, value] = parted(parted(text, "Could not convert: ").second, " = ");
    const auto flag = std::ranges::find(flags, name, [](const Flag& one) { return one.description().name; });
    if (flag == flags.end()) return text;
    const bool is_whole = flag->description().value == kWholeNumberValue;
    const char* const what = !is_whole                         ? "a number"
                             : flag->description().is_repeated ? "whole numbers separated by commas"
                                                               : "a whole number";
    return fmt::format("{}: {}", name, refusal_of_value(what, value));
  }
  if (code == CLI::ExitCodes::ArgumentMismatch) {
    const std::string name = parted(text, ": ").first;
    const std::string n_received = parted(text, " required but received ").second;
    if (!n_received.empty()) return fmt::format("{}: expected one value, found {}", name, n_received);
    if (text.ends_with(" missing")) return fmt::format("{}: expected a value, found none", name);
  }
  if (code == CLI::ExitCodes::ExcludesError) {
    const auto [one, other] = parted(text, " excludes ");
    return fmt::format("expected {} or {}, found both", one, other);
  }
  if (code == CLI::ExitCodes::RequiresError) {
    const auto [one, other] = parted(text, " requires ");
    return fmt::format("{}: expected {} beside it, found none", one, other);
  }
  return text;
}

/// The message with the values of `words` in it that are too long for a line cut to a readable length.
std::string with_values_cut(std::string message, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const std::size_t equals = word.rfind("--", 0) == 0 ? word.find('=') : std::string::npos;
    const std::string value = equals == std::string::npos ? word : word.substr(equals + 1);
    if (value.size() <= kMaxWord) continue;
    const std::string cut = shown(value, kMaxWord);
    for (std::size_t at = message.find(value); at != std::string::npos; at = message.find(value, at + cut.size())) {
      message.replace(at, value.size(), cut);
    }
  }
  return message;
}

}  // namespace

Flag* Flag::required() {
  option_->required();
  description_.is_required = true;
  return this;
}

Flag* Flag::check(const FlagCheck& check) {
  option_->check(validator_of(check));
  description_.range = range_text(check);
  if (const auto* one_of = std::get_if<FlagCheck::OneOf>(&check.rule)) description_.words = one_of->words;
  return this;
}

Flag* Flag::delimiter(char separator) {
  option_->delimiter(separator);
  description_.separator = separator;
  return this;
}

Flag* Flag::capture_default_str() {
  option_->capture_default_str();
  description_.present = option_->get_default_str();
  return this;
}

Flag* Flag::excludes(const Flag* other) {
  option_->excludes(other->option_);
  return this;
}

Flag* Flag::needs(const Flag* other) {
  option_->needs(other->option_);
  return this;
}

Flag* Flag::may_be_empty() {
  may_be_empty_ = true;
  return this;
}

std::size_t Flag::count() const {
  return option_->count();
}

std::optional<std::string> Flag::fault_of_empty_value() const {
  // A flag without a value has the words "true" and "false" as results.
  const std::vector<std::string>& values = option_->results();
  if (may_be_empty_ || std::ranges::find(values, "") == values.end()) return std::nullopt;
  const char* const where = description_.is_positional() ? "the argument " : "";
  return fmt::format("{}{}: expected {}, found \"\"", where, description_.name,
                     values.size() == 1 ? "a value" : "values that are not empty");
}

std::optional<std::string> Flag::fault_of_empty_part(const std::string& word) const {
  if (description_.separator == 0 || word.empty()) return std::nullopt;  // an empty word is refused as an empty value
  const char separator = description_.separator;
  const bool has_empty_part = word.front() == separator || word.back() == separator ||
                              word.find(std::string(2, separator)) != std::string::npos;
  if (!has_empty_part) return std::nullopt;
  return fmt::format("{}: expected values that are not empty, found {}", description_.name, in_quotes(word));
}

std::optional<std::string> Flag::repeated_word() const {
  if (description_.separator == 0 || description_.value != kTextValue) return std::nullopt;
  std::set<std::string_view> seen;
  for (const std::string& word : option_->results()) {
    if (!seen.insert(word).second) return word;
  }
  return std::nullopt;
}

CommandNode* CommandNode::add_subcommand(const std::string& name, const std::string& description) {
  return &commands_.emplace_back(app_->add_subcommand(name, description));
}

Flag* CommandNode::add_option(const std::string& name, const std::function<void(const std::string&)>& take,
                              const std::string& description) {
  return &flags_.emplace_back(app_->add_option_function<std::string>(name, take, description),
                              FlagDescription{.name = name, .value = kTextValue, .description = description});
}

Flag* CommandNode::add_option_to(const std::string& name, FlagTarget target, const std::string& description) {
  CLI::Option* option =
      std::visit([&](auto* value) -> CLI::Option* { return app_->add_option(name, *value, description); }, target);
  const bool is_unsigned =
      std::holds_alternative<std::uint64_t*>(target) || std::holds_alternative<std::optional<std::uint64_t>*>(target);
  if (is_unsigned) option->check(CLI::Validator([](const std::string& text) { return fault_of_unsigned(text); }, ""));
  // A flag of several values takes one word each time, so that a positional argument may follow it.
  if (name.starts_with("--")) option->allow_extra_args(false);
  return &flags_.emplace_back(
      option,
      FlagDescription{
          .name = name, .value = value_name(target), .description = description, .is_repeated = takes_several(target)});
}

Flag* CommandNode::add_flag(const std::string& name, bool& target, const std::string& description) {
  return &flags_.emplace_back(app_->add_flag(name, target, description),
                              FlagDescription{.name = name, .description = description});
}

void CommandNode::require_subcommand() {
  app_->require_subcommand(1);
}

void CommandNode::footer(const std::string& text) {
  app_->footer(text);
}

void CommandNode::group(const std::string& name) {
  app_->group(name);
  group_ = name;
}

CommandDescription CommandNode::describe() const {
  CommandDescription out{
      .name = full_name(*app_), .description = app_->get_description(), .footer = app_->get_footer(), .group = group_};
  for (const Flag& flag : flags_) out.flags.push_back(flag.description());
  out.flags.push_back({.name = "--help", .description = "Print this help, and nothing else (-h)"});
  if (app_->get_parent() == nullptr)
    out.flags.push_back({.name = "--version", .description = "Print version, commit and build options"});
  for (const CommandNode& command : commands_) {
    if (!command.group_.empty()) out.subcommands.push_back(command.describe());
  }
  return out;
}

std::vector<std::string> CommandNode::given() const {
  std::vector<std::string> names;
  for (const Flag& flag : flags_) {
    if (flag.count() > 0) names.push_back(flag.description().name);
  }
  return names;
}

const CommandNode* CommandNode::find(const CLI::App* command) const {
  if (app_ == command) return this;
  for (const CommandNode& child : commands_) {
    if (const CommandNode* found = child.find(command)) return found;
  }
  return nullptr;
}

std::optional<std::string> CommandNode::fault_of_flags() const {
  for (const Flag& flag : flags_) {
    if (std::optional<std::string> fault = flag.fault_of_empty_value()) return fault;
    const std::optional<std::string> word = flag.repeated_word();
    if (!word) continue;
    return fmt::format("{}: expected each word once, found {} twice", flag.description().name, in_quotes(*word));
  }
  return std::nullopt;
}

const Flag* CommandNode::flag_with_value(const std::string& name) const {
  const auto flag = std::ranges::find_if(flags_, [&](const Flag& one) {
    return name.starts_with("--") && one.description().name == name && !one.description().value.empty();
  });
  return flag == flags_.end() ? nullptr : &*flag;
}

Result<std::vector<std::string>> CommandNode::with_empty_values(const std::vector<std::string>& words) const {
  std::vector<std::string> result;
  const Flag* open = nullptr;  // the flag whose value is the next word
  for (const std::string& word : words) {
    const bool is_value = open != nullptr;
    const std::size_t equals = word.find('=');
    const Flag* const flag = is_value ? open : flag_with_value(word.substr(0, equals));
    open = !is_value && equals == std::string::npos ? flag : nullptr;
    const bool has_value = flag != nullptr && open == nullptr;
    const std::string value = has_value && !is_value ? word.substr(equals + 1) : word;
    if (has_value) {
      if (const auto fault = flag->fault_of_empty_part(value)) return Error{ErrorCode::kInvalidInput, *fault};
    }
    const bool is_apart = has_value && !is_value && value.empty();
    result.push_back(is_apart ? flag->description().name : word);
    if (is_apart) result.emplace_back();
  }
  return result;
}

void CommandNode::callback(std::function<void()> action) {
  app_->callback(std::move(action));
}

CommandLine::CommandLine(const Text& text)
    : app_(std::make_unique<CLI::App>(text.description, text.name)), root_(app_.get()) {
  app_->set_version_flag("--version", text.version);
  app_->require_subcommand(1);
  app_->footer(text.footer);
  // Subcommands inherit it.
  app_->formatter_fn([this](const CLI::App* command, const std::string&, CLI::AppFormatMode) {
    return help_text(root_.find(command)->describe());
  });
}

CommandLine::~CommandLine() = default;

std::optional<int> CommandLine::parse(int argc, const char* const* argv) {
  constexpr int kBadInput = static_cast<int>(ExitStatus::kBadInput);
  std::vector<std::string> words(argv + 1, argv + argc);
  const auto refuse = [&](const std::string& why) {
    std::cerr << app_->get_name() << ": " << shown(why, kMaxRefusal) << '\n';
    return kBadInput;
  };
  const auto print_help = [&](const std::string& text) {
    const Result<void> printed = print(text);
    if (printed) return 0;
    refuse(printed.error().message);
    return static_cast<int>(exit_status_of(printed.error().code));
  };
  if (words.empty()) {
    const int status = print_help(app_->help());
    return status == 0 ? refuse("a command is required") : status;
  }
  if (words.front() == "help") {
    words.erase(words.begin());
    const auto [command, unknown] = find_place(*app_, words);
    if (!unknown.empty()) return refuse(refusal_of_word(*command, unknown));
    return print_help(command->help());
  }
  try {
    Result<std::vector<std::string>> given = root_.find(find_place(*app_, words).command)->with_empty_values(words);
    if (!given) return refuse(given.error().message);
    std::ranges::reverse(*given);  // as CLI11 takes them
    app_->parse(*std::move(given));
    const std::optional<std::string> fault = root_.find(given_command(*app_))->fault_of_flags();
    return fault ? std::optional(refuse(*fault)) : std::nullopt;
  } catch (const CLI::Success& done) {  // --help, --version
    std::ostringstream text;
    app_->exit(done, text, std::cerr);
    return print_help(text.str());
  } catch (const CLI::ParseError& error) {
    // CLI11 reports a missing option before an unknown one. If the option was mistyped, both errors have that cause, and
    // the unknown word is the better message.
    const bool may_be_mistyped = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) ||
                                 error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
    const std::vector<std::string> unknown = app_->remaining(true);
    if (may_be_mistyped && !unknown.empty()) return refuse(refusal_of_word(*given_command(*app_), unknown.front()));
    CLI::App& command = *given_command(*app_);
    const std::string why = refusal_of(error, command, root_.find(&command)->flags_);
    return refuse(fmt::format("{} ({} --help says more)", with_values_cut(why, words), full_name(command)));
  }
}

Result<std::vector<std::string>> split_words(const std::string& flag, const std::string& text) {
  // CLI11 takes a quote that is not closed as if it were closed at the end. The words are passed over here as CLI11 does.
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  std::size_t at = 0;
  while (at < text.size()) {
    if (is_space(text[at])) {
      ++at;
    } else if (std::string_view("'\"`").find(text[at]) != std::string_view::npos) {
      const char quote = text[at];
      std::size_t end = text.find(quote, at + 1);
      while (end != std::string::npos && text[end - 1] == '\\') end = text.find(quote, end + 1);
      if (end == std::string::npos) {
        return Error{ErrorCode::kInvalidInput,
                     fmt::format("{}: expected a {} that closes the one before {}, found none", flag, quote,
                                 in_quotes(text.substr(at + 1)))};
      }
      at = end + 2;
    } else {
      while (at < text.size() && !is_space(text[at])) ++at;
    }
  }
  return CLI::detail::split_up(text);
}

}  // namespace secondsource
