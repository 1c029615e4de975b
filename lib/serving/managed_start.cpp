#include "serving/managed_start.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "core/utf8.h"
#include "serving/preset.h"

namespace secondsource {
namespace {

constexpr std::string_view kModelPlace = "{model}";
constexpr std::string_view kPortPlace = "{port}";

void replace_all(std::string& text, std::string_view place, std::string_view value) {
  for (std::size_t at = text.find(place); at != std::string::npos; at = text.find(place, at + value.size())) {
    text.replace(at, place.size(), value);
  }
}

/// A {name} in braces that is not a known placeholder is taken for a typing error. Other braces belong to the command.
std::string unknown_place(std::string_view word) {
  for (std::size_t at = word.find('{'); at != std::string_view::npos; at = word.find('{', at + 1)) {
    const std::size_t end = word.find('}', at);
    if (end == std::string_view::npos) return "";
    const std::string_view place = word.substr(at, end - at + 1);
    const std::string_view name = place.substr(1, place.size() - 2);
    const bool is_name =
        !name.empty() && std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    if (is_name && place != kModelPlace && place != kPortPlace) return std::string(place);
  }
  return "";
}

/// NAME@sha256:DIGEST, or sha256:ID of an image that was built here.
bool has_digest(std::string_view image) {
  constexpr std::string_view kDigest = "sha256:";
  const std::size_t at = image.rfind(kDigest);
  if (at == std::string_view::npos || (at > 0 && image[at - 1] != '@') || image.front() == '-') return false;
  const std::string_view digits = image.substr(at + kDigest.size());
  return digits.size() == 64 &&
         std::ranges::all_of(digits, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_variable_name(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; });
}

Error expected(std::string_view key, std::string_view what, std::string_view found) {
  return {ErrorCode::kInvalidInput, fmt::format("{}: expected {}, found {}", key, what, in_quotes(found))};
}

}  // namespace

Result<std::vector<std::string>> command_words(std::string_view text) {
  if (const std::size_t at = text.find_first_of("'\"\\$`|&;<>()*?#~\n"); at != std::string_view::npos) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected words separated by blanks, found {}: no shell reads this; a word with such a "
                             "sign is written in a list, as [server, --name, \"a b\"]",
                             in_quotes(text.substr(at, 1)))};
  }
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    if (end > at) words.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

std::string filled(std::string_view word, const StartPlaces& places) {
  std::string text(word);
  replace_all(text, kPortPlace, std::to_string(places.port));
  replace_all(text, kModelPlace, places.model);
  return text;
}

std::vector<std::string> filled(const std::vector<std::string>& words, const StartPlaces& places) {
  std::vector<std::string> result;
  for (const std::string& word : words) result.push_back(filled(word, places));
  return result;
}

Result<void> complete_managed_start(ManagedStart& managed, ServerPreset preset, bool has_url) {
  const bool is_container = !managed.image.empty();
  if (!is_container && managed.start.empty()) return expected("start", "the command of a server", "");
  if (is_container && !has_digest(managed.image)) {
    return expected("image", "NAME@sha256:DIGEST, since a tag may be another image tomorrow", managed.image);
  }
  if (!is_container && (!managed.engine.empty() || !managed.engine_options.empty())) {
    return expected("engine, options", "them beside an image alone", managed.engine);
  }
  if (is_container && !managed.stop.empty()) return expected("stop", "none for an image", managed.stop.front());
  bool says_port = false;
  std::vector<std::string_view> texts(managed.start.begin(), managed.start.end());
  texts.insert(texts.end(), managed.engine_options.begin(), managed.engine_options.end());
  for (const auto& [name, value] : managed.env) {
    if (!is_variable_name(name)) return expected("env", "the name of a variable", name);
    texts.push_back(value);
  }
  for (const std::string_view text : texts) {
    says_port = says_port || text.find(kPortPlace) != std::string_view::npos;
    if (const std::string place = unknown_place(text); !place.empty()) {
      return expected("start", "{model} and {port} alone in braces", place);
    }
  }
  if (!says_port && !has_url) {
    return Error{ErrorCode::kInvalidInput,
                 "start: expected {port}, the port that the server is to listen on, or the url at which it will be"};
  }
  if (managed.health.empty()) managed.health = facts_of(preset).health;
  if (!managed.health.starts_with('/')) return expected("health", "a path such as /health", managed.health);
  if (is_container && managed.engine.empty()) managed.engine = "podman";
  return {};
}

}  // namespace secondsource
