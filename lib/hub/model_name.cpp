#include "hub/model_name.h"

#include <fmt/format.h>

#include <algorithm>

#include "bundle/relative_path.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::string_view kScheme = "hf:";
constexpr std::size_t kLongestPart = 96;       // of ORG and of NAME, by the hub's rules
constexpr std::size_t kLongestRevision = 256;  // git's own limit is that of a path

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The hub's rules for ORG and NAME (validate_repo_id of huggingface_hub).
bool is_repository_part(std::string_view part) {
  const auto is_allowed = [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_' || c == '.'; };
  const auto is_edge = [](char c) { return is_letter_or_digit(c) || c == '_'; };
  return !part.empty() && part.size() <= kLongestPart && std::ranges::all_of(part, is_allowed) &&
         is_edge(part.front()) && is_edge(part.back()) && part.find("--") == std::string_view::npos &&
         part.find("..") == std::string_view::npos && !part.ends_with(".git");
}

bool is_revision(std::string_view text) {
  return !text.empty() && text.size() <= kLongestRevision &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<HubModelName> parse_hub_model_name(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("model {}: expected hf:ORG/NAME[/FILE.gguf][@REVISION]; {}", in_quotes(text), why)};
  };
  if (!text.starts_with(kScheme)) return refuse("it does not begin with hf:");
  std::string_view rest = text.substr(kScheme.size());
  HubModelName model;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    model.revision = rest.substr(at + 1);
    if (!is_revision(model.revision)) return refuse("after @ there is no name of a branch, a tag or a commit");
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return refuse("there is no ORG/ before the name");
  const std::size_t end = std::min(rest.find('/', slash + 1), rest.size());
  const std::string_view organization = rest.substr(0, slash);
  const std::string_view name = rest.substr(slash + 1, end - slash - 1);
  if (!is_repository_part(organization) || !is_repository_part(name)) {
    return refuse(
        "ORG and NAME have up to 96 letters, digits, - . and _, no -- or .., and neither begin nor end with - or .");
  }
  model.repository = rest.substr(0, end);
  if (end == rest.size()) return model;
  model.file = rest.substr(end + 1);
  SS_TRY_VOID(check_relative_path(model.file, std::string(text)));
  if (!model.file.ends_with(".gguf")) return refuse("only a GGUF file is named by itself");
  return model;
}

std::string url_part(std::string_view text, bool keeps_slashes) {
  std::string encoded;
  for (const char c : text) {
    const bool is_plain = is_letter_or_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain || (keeps_slashes && c == '/')) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

}  // namespace secondsource
