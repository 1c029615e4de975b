// secondsource prompts import: golden prompts of real work.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/utf8.h"
#include "output.h"
#include "recorded/import.h"
#include "recorded/read_recorded.h"
#include "tokenizer_source.h"

namespace secondsource {
namespace {

struct PromptImportFlags {
  PromptImportOptions import;
  ReadRecordedOptions read;
  std::vector<std::string> files;
  std::string format;
  std::string turn = "last";
  std::string tokenizer;
  std::string out;
  std::string review;
  bool keeps_everything = false;
};

/// A name that ids can begin with, from the name of a file.
Result<std::string> suite_name(const PromptImportFlags& options) {
  std::string name = options.import.name;
  if (name.empty())
    name = std::filesystem::path(options.out.empty() ? options.files.front() : options.out).stem().string();
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  constexpr std::size_t kLongest = 58;  // with "-0001" it is an id
  const bool is_name = !name.empty() && name.size() <= kLongest && std::ranges::all_of(name, is_allowed) &&
                       name.front() != '.' && name.front() != '_' && name.front() != '-';
  if (is_name) return name;
  return Error{
      ErrorCode::kInvalidInput,
      fmt::format("--name: expected up to {} of a-z, 0-9, - . and _, beginning with a letter or digit, found {}",
                  kLongest, in_quotes(name))};
}

/// What was replaced, for the user's own eyes: JSON lines in a file that nobody else may read.
Result<void> write_review(const std::string& path, const std::vector<RedactedPlace>& redacted) {
  std::string text;
  for (const RedactedPlace& place : redacted) {
    const nlohmann::ordered_json line = {{"prompt", place.prompt},
                                         {"place", place.place},
                                         {"kind", to_string(place.redacted.kind)},
                                         {"found", place.redacted.found},
                                         {"became", place.redacted.became}};
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  constexpr mode_t kMine = 0600;
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kMine));
  if (!file.is_open()) {
    return Error{ErrorCode::kInvalidInput, errno_error(path, "create, which must be a new file").message};
  }
  for (std::string_view rest = text; !rest.empty();) {
    const ssize_t n = ::write(file.get(), rest.data(), rest.size());
    if (n < 0 && errno != EINTR) return errno_error(path, "write");
    rest.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  }
  return file.close(path);
}

void report_import(const ImportedSuite& suite, const PromptImportFlags& options, Progress& progress) {
  progress.note(fmt::format("{} of {}", counted(suite.n_prompts, "prompt"), counted(suite.n_records, "record")));
  for (const auto& [reason, n] : suite.left_out) progress.note(fmt::format("left out {}: {}", n, reason));
  const auto say = [&](std::int64_t n, std::string_view what) {
    if (n > 0) progress.note(fmt::format("lengths: {} {}", n, what));
  };
  say(suite.n_counted, "of recorded answers, by the tokenizer");
  say(suite.n_logged, "as the log counts them, by another tokenizer");
  say(suite.n_unknown, fmt::format("unknown, set to {}", options.import.new_tokens));
  say(suite.n_cut, fmt::format("cut to {}", options.import.most_new_tokens));
  if (!options.import.redacts) {
    progress.note("redaction is off: the suite has everything that was recorded");
  } else {
    std::string counts;
    for (std::size_t i = 0; i < kNSecretKinds; ++i) {
      const auto kind = static_cast<SecretKind>(i);
      const auto n = std::ranges::count_if(suite.redacted,
                                           [&](const RedactedPlace& place) { return place.redacted.kind == kind; });
      counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", to_string(kind), n);
    }
    progress.note("replaced: " + counts + "; names of people and places are not looked for");
  }
  if (suite.tokens_before && options.import.redacts) {
    progress.note(fmt::format("tokens of the texts: {} before, {} after", *suite.tokens_before, *suite.tokens_after));
  }
  progress.note("nothing left this machine: this command opens no connection");
}

Result<ExitStatus> run_prompts_import(PromptImportFlags& options, CommandContext& context) {
  SS_TRY(options.import.name, suite_name(options));
  options.import.redacts = !options.keeps_everything;
  if (options.import.tags.empty()) options.import.tags = {"full"};
  options.read.format = *enum_from_name<RecordedFormat>(options.format);
  options.read.turn = *enum_from_name<RecordedTurn>(options.turn);
  InputPaths inputs(options.files.begin(), options.files.end());
  inputs.emplace_back(options.tokenizer);
  SS_TRY(Output output, Output::open(options.out, inputs));
  std::optional<TokenizerSource> source;
  CountTokens count_tokens;
  if (!options.tokenizer.empty()) {
    SS_TRY(source, open_tokenizer(options.tokenizer, context));
    count_tokens = [&source](std::string_view text) -> Result<std::int64_t> {
      SS_TRY(const std::vector<std::int32_t> ids,
             source->tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false}));
      return static_cast<std::int64_t>(ids.size());
    };
  }
  std::vector<RecordedFile> files;
  for (const std::string& path : options.files) {
    SS_TRY_VOID(context.interrupt.check());
    SS_TRY(const std::string text, read_file(path));
    SS_TRY(RecordedFile file, read_recorded(text, path, options.read));
    files.push_back(std::move(file));
  }
  SS_TRY(const ImportedSuite suite, import_prompts(std::move(files), options.import, count_tokens));
  if (!options.review.empty()) SS_TRY_VOID(write_review(options.review, suite.redacted));
  SS_TRY_VOID(output.write(suite.text));
  report_import(suite, options, context.progress);
  return ExitStatus::kOk;
}

void add_prompts_import(CommandNode& prompts, CommandAction& action) {
  auto options = std::make_shared<PromptImportFlags>();
  options->import.license = "private";
  CommandNode* command = prompts.add_subcommand("import", "Recorded conversations as a suite of golden prompts");
  command->add_option("files", options->files, "Recorded conversations, requests or texts")->required();
  command->add_option("--format", options->format, "Format of the files")
      ->required()
      ->check(OneOf({"sharegpt", "openai", "litellm", "vllm", "text"}));
  command->add_option("--out", options->out, "The suite to write instead of stdout, as mine.yaml");
  command->add_option("--tokenizer", options->tokenizer,
                      "A bundle, model folder, tokenizer.json or GGUF file, whose tokens the lengths are counted in");
  command->add_option("--turn", options->turn, "Which answer of a conversation is to be generated")
      ->check(OneOf({"first", "last"}))
      ->capture_default_str();
  command->add_option("--separator", options->read.separator, "Of format text: the line between two prompts of a file");
  command->add_option("--sample", options->import.sample, "Take so many prompts, chosen by --seed; default: all")
      ->check(Range(1, 10'000));
  command
      ->add_option("--seed", options->import.seed, "Seed of the choice of prompts and of what replaces private values")
      ->capture_default_str();
  command->add_option("--most-bytes", options->import.most_bytes, "Leave out prompts of more bytes than this")
      ->check(Range(1, 16 << 20))
      ->capture_default_str();
  command->add_option("--most-new-tokens", options->import.most_new_tokens, "Cut longer answers to this")
      ->check(Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--new-tokens", options->import.new_tokens, "Length of an answer for which none was recorded")
      ->check(Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--redact", options->import.own_patterns,
                      "A regular expression for further text to replace; may be repeated");
  command->add_flag("--no-redaction", options->keeps_everything, "Replace nothing");
  command->add_option("--review", options->review,
                      "A new file for what was replaced, with the originals: for your eyes, readable by you alone");
  command->add_option("--name", options->import.name, "The suite's name; default: the file's");
  command->add_option("--license", options->import.license, "Licence of the prompts")->capture_default_str();
  command->add_option("--tag", options->import.tags,
                      "A suite that the prompts belong to; may be repeated; default: full");
  command->footer(
      "E-mail addresses, phone, card and IP numbers, keys and tokens become made-up values of the same form and length. "
      "Names are not looked for: read the suite before you share it. Nothing leaves this machine.\n"
      "Example: secondsource prompts import requests.jsonl --format openai --tokenizer bundles/default --sample 200 --out "
      "mine.yaml\n"
      "Example: secondsource prompts import server.log --format vllm --out requests.yaml\n"
      "Example: secondsource prompts import chats.json --format sharegpt --redact 'CUST-[0-9]+' --review review.jsonl "
      "--out chats.yaml");
  command->callback([options, &action] {
    action = [options](CommandContext& context) { return run_prompts_import(*options, context); };
  });
}

}  // namespace

CommandNode* add_prompts_command(CommandNode& app, CommandAction& action) {
  CommandNode* command = app.add_subcommand("prompts", "Golden prompts of your own work: import");
  command->require_subcommand();
  add_prompts_import(*command, action);
  command->footer("Example: secondsource prompts import requests.jsonl --format openai --out mine.yaml");
  return command;
}

}  // namespace secondsource
