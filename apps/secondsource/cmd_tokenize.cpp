// secondsource tokenize PATH: converts texts to token ids and back, as JSON lines, so that the tokenizer can be
// compared with another one.

#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "tokenizer_source.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

struct TokenizeOptions {
  std::string path;
  std::string text;
  std::string file;
  bool has_text = false;
  bool chat = false;
  bool no_generation_prompt = false;
  std::string family;
  bool no_add_special = false;
  bool no_parse_special = false;
  bool skip_special = false;
  bool show_tokens = false;
};

class Tokenize {
 public:
  Tokenize(const TokenizeOptions& options, const TokenizerSource& source) : options_(options), source_(source) {}

  /// Returns {"ids": [...]}; with --tokens, also the texts of the tokens.
  Result<Json> encode(std::string_view text, const EncodeOptions& encode_options) const {
    SS_TRY(const Ids ids, source_.tokenizer.encode(text, encode_options));
    Json answer = {{"ids", ids}};
    if (options_.show_tokens) {
      Json tokens = Json::array();
      for (const std::int32_t id : ids) tokens.push_back(std::string(source_.tokenizer.token(id).value_or("")));
      answer["tokens"] = std::move(tokens);
    }
    return answer;
  }

  Result<Json> encode_text(std::string_view text) const {
    if (options_.chat) {
      const std::vector<ChatMessage> messages = {{.role = "user", .content = std::string(text)}};
      return encode_messages(messages);
    }
    return encode(text, {.add_special_tokens = !options_.no_add_special, .parse_special = !options_.no_parse_special});
  }

  /// Returns the rendered text and its ids. Nothing is added to the output of the template.
  Result<Json> encode_messages(const std::vector<ChatMessage>& messages) const {
    SS_TRY(const ChatFamily family, chat_family());
    SS_TRY(const std::string text, render_chat(family, messages,
                                               {.add_generation_prompt = !options_.no_generation_prompt,
                                                .bos_token = source_.bos_token,
                                                .eos_token = source_.eos_token}));
    SS_TRY(Json answer, encode(text, {.add_special_tokens = false, .parse_special = true}));
    answer["text"] = text;
    return answer;
  }

  Result<Json> decode(const Json& values, const std::string& name) const {
    Ids ids;
    const std::int64_t vocab_size = source_.tokenizer.vocab_size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool is_id =
          values[i].is_number_unsigned() && values[i].get<std::uint64_t>() < static_cast<std::uint64_t>(vocab_size);
      if (!is_id) {
        return Error{ErrorCode::kInvalidInput, fmt::format("{}: ids[{}]: expected an id in [0, {}), found {}", name, i,
                                                           vocab_size, values[i].dump().substr(0, 40))};
      }
      ids.push_back(values[i].get<std::int32_t>());
    }
    return Json{{"text", source_.tokenizer.decode(ids, {.skip_special = options_.skip_special})}};
  }

  /// Returns the answer to one line of input.
  Result<Json> answer(std::string_view line, const std::string& name) const {
    SS_TRY(const Json value, parse_json(line, name));
    SS_TRY(const JsonFields fields, JsonFields::of(value, name));
    if (fields.has("text")) {
      SS_TRY(const std::string text, fields.string("text"));
      return encode_text(text);
    }
    if (const Json* ids = fields.find("ids"); ids != nullptr && ids->is_array()) return decode(*ids, name);
    if (const Json* messages = fields.find("messages"); messages != nullptr && messages->is_array()) {
      SS_TRY(const std::vector<ChatMessage> conversation, read_messages(*messages, name));
      return encode_messages(conversation);
    }
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected {{\"text\": \"...\"}}, {{\"ids\": [...]}} or {{\"messages\": [...]}}", name)};
  }

 private:
  static Result<std::vector<ChatMessage>> read_messages(const Json& values, const std::string& name) {
    std::vector<ChatMessage> messages;
    for (std::size_t i = 0; i < values.size(); ++i) {
      SS_TRY(const JsonFields fields, JsonFields::of(values[i], fmt::format("{}: messages[{}]", name, i)));
      ChatMessage message;
      SS_TRY(message.role, fields.string("role"));
      SS_TRY(message.content, fields.string("content"));
      messages.push_back(std::move(message));
    }
    return messages;
  }

  Result<ChatFamily> chat_family() const {
    if (!options_.family.empty()) return chat_family_from_name(options_.family);
    if (source_.chat_family) return *source_.chat_family;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: {}; --family names one", options_.path, source_.no_chat_reason)};
  }

  const TokenizeOptions& options_;
  const TokenizerSource& source_;
};

Result<void> print_line(const Json& answer) {
  return print(to_json_text(answer) + "\n");
}

Result<ExitStatus> run_tokenize(const TokenizeOptions& options, CommandContext& context) {
  SS_TRY(const TokenizerSource source, open_tokenizer(options.path, context));
  const Tokenize tokenize(options, source);
  if (options.has_text || !options.file.empty()) {
    std::string text = options.text;
    if (!options.file.empty()) {
      SS_TRY(text, read_file(options.file));
    }
    SS_TRY(const Json answer, tokenize.encode_text(text));
    SS_TRY_VOID(print_line(answer));
    return ExitStatus::kOk;
  }
  std::string line;
  for (std::int64_t number = 1; std::getline(std::cin, line); ++number) {
    SS_TRY_VOID(context.interrupt.check());
    SS_TRY(const Json answer, tokenize.answer(line, fmt::format("stdin: line {}", number)));
    SS_TRY_VOID(print_line(answer));
  }
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_tokenize_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<TokenizeOptions>();
  CommandNode* command = app.add_subcommand("tokenize", "Token ids of a text and back, as JSON lines");
  command->add_option("tokenizer", options->path, "A bundle, a Hugging Face folder, a tokenizer.json or a GGUF file")
      ->required();
  Flag* text = command->add_option("--text", options->text, "Tokenize this");
  command->add_option("--file", options->file, "Tokenize the whole of this file")->excludes(text);
  command->add_flag("--chat", options->chat, "Texts are a user's message: put them into the chat template first");
  command->add_option("--family", options->family, "The chat template by name, instead of the model's own");
  command->add_flag("--no-generation-prompt", options->no_generation_prompt,
                    "Chats end with their last message, not with what begins an answer");
  command->add_flag("--no-add-special", options->no_add_special,
                    "Leave out what the tokenizer adds around a text (golden prompts are made so)");
  command->add_flag("--no-parse-special", options->no_parse_special, "Special tokens written in a text are plain text");
  command->add_flag("--skip-special", options->skip_special, "Ids to text: leave special tokens out");
  command->add_flag("--tokens", options->show_tokens, "Print the tokens beside their ids");
  command->footer(
      "Without --text and --file each line of stdin is answered by one line: {\"text\": \"...\"} with {\"ids\": "
      "[...]},\n"
      "{\"ids\": [...]} with {\"text\": \"...\"}, {\"messages\": [{\"role\": ..., \"content\": ...}]} with both.\n"
      "Example: secondsource tokenize bundles/default --text 'Hello world'\n"
      "         echo '{\"ids\": [403, 407]}' | secondsource tokenize bundles/default");
  command->callback([options, text, &action] {
    options->has_text = text->count() > 0;
    action = [options](CommandContext& context) { return run_tokenize(*options, context); };
  });
  return command;
}

}  // namespace secondsource
