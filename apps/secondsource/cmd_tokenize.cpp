// secondsource tokenize PATH: converts texts to token ids and back, as JSON lines, so that the tokenizer can be
// compared with another one.

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "chat/named_templates.h"
#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "core/json_fields.h"
#include "core/json_text.h"
#include "jinja/limits.h"
#include "tokenizer_source.h"

namespace secondsource {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;
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

/// The template that --family names, a name or a Jinja file, instead of that of the source.
Result<ChatTemplateSource> chat_source(const TokenizeOptions& options, ChatTemplateSource own) {
  if (options.family.empty()) return own;
  own.templates.clear();
  own.name = options.family;
  std::error_code ignored;
  if (std::filesystem::is_regular_file(options.family, ignored)) {
    SS_TRY(own.templates["default"], read_file(options.family, jinja::kMaxTemplateBytes));
    return own;
  }
  SS_TRY(own.templates["default"], named_chat_template(options.family));
  return own;
}

class Tokenize {
 public:
  /// `chat` is the template, or why there is none.
  Tokenize(const TokenizeOptions& options, const TokenizerSource& source, const Result<ChatTemplate>& chat)
      : options_(options), source_(source), chat_(chat) {}

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
      OrderedJson message = {{"role", "user"}, {"content", std::string(text)}};
      return encode_conversation({{"messages", OrderedJson::array({std::move(message)})}});
    }
    return encode(text, {.add_special_tokens = !options_.no_add_special, .parse_special = !options_.no_parse_special});
  }

  /// Returns the rendered text and its ids. Nothing is added to the output of the template.
  Result<Json> encode_conversation(const OrderedJson& conversation) const {
    if (!chat_) return chat_.error();
    SS_TRY(const std::string text, chat_->render(conversation, !options_.no_generation_prompt));
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
      SS_TRY_VOID(check_messages(*messages, name));
      // A template may print an object, so the keys keep their order. parse_json() has checked the text.
      return encode_conversation(OrderedJson::parse(line));
    }
    return Error{
        ErrorCode::kInvalidInput,
        fmt::format("{}: expected {{\"text\": \"...\"}}, {{\"ids\": [...]}} or {{\"messages\": [...]}}", name)};
  }

 private:
  static Result<void> check_messages(const Json& values, const std::string& name) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      SS_TRY(const JsonFields fields, JsonFields::of(values[i], fmt::format("{}: messages[{}]", name, i)));
      SS_TRY_VOID(fields.string("role"));
    }
    return {};
  }

  const TokenizeOptions& options_;
  const TokenizerSource& source_;
  const Result<ChatTemplate>& chat_;
};

Result<ChatTemplate> open_chat(const TokenizeOptions& options, const TokenizerSource& source) {
  SS_TRY(const ChatTemplateSource from, chat_source(options, source.chat));
  if (!from.templates.empty()) return ChatTemplate::parse(from);
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected a model with a chat template, found none; give one with --family (its "
                           "name or a Jinja file)",
                           options.path)};
}

Result<void> print_line(const Json& answer) {
  return print(to_json_text(answer) + "\n");
}

Result<ExitStatus> run_tokenize(const TokenizeOptions& options, CommandContext& context) {
  SS_TRY(const TokenizerSource source, open_tokenizer(options.path, context));
  const Result<ChatTemplate> chat = open_chat(options, source);
  if (!chat && !options.family.empty()) return chat.error();
  const Tokenize tokenize(options, source, chat);
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
  Flag* text = command->add_option("--text", options->text, "Tokenize this")->may_be_empty();
  command->add_option("--file", options->file, "Tokenize the whole of this file")->excludes(text);
  command->add_flag("--chat", options->chat, "Texts are a user's message: put them into the chat template first");
  command->add_option("--family", options->family,
                      "The chat template by name or as a Jinja file, instead of the model's own");
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
      "{\"ids\": [...]} with {\"text\": \"...\"}, {\"messages\": [{\"role\": ..., \"content\": ...}]} with both, also\n"
      "with \"tools\" and \"documents\".\n"
      "Example: secondsource tokenize bundles/default --text 'Hello world'\n"
      "         echo '{\"ids\": [403, 407]}' | secondsource tokenize bundles/default");
  command->callback([options, text, &action] {
    options->has_text = text->count() > 0;
    action = [options](CommandContext& context) { return run_tokenize(*options, context); };
  });
  return command;
}

}  // namespace secondsource
