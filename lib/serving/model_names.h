#pragma once
// Tells whether an answer came from the model that was asked, by the names that a server has for it.

#include <string>
#include <string_view>
#include <vector>

namespace secondsource {

/// All names by which the server's list of models (GET /v1/models) calls `model`, itself first: its aliases, its path, and the
/// alias and the path in the command of its process (llama-server's router); also the other names of what has the same
/// `root` (vLLM). Only `model` where `list` is no such list, or does not have it.
[[nodiscard]] std::vector<std::string> names_of_model(std::string_view list, const std::string& model);

/// True if one of `names` is `said`. Ollama calls a model without a tag NAME:latest, so that tag makes no difference.
[[nodiscard]] bool is_named(const std::vector<std::string>& names, std::string_view said);

}  // namespace secondsource
