#pragma once
// Which files of a repository a bundle needs. What is not needed is not pulled: other formats, code, pictures.

#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "hub/listing.h"

namespace secondsource {

/// The files that say what the model is: configuration, tokenizer, chat templates, and the index of the weights. Errors:
/// kInvalidInput; kUnsupported if there is no model for this program, naming what is there instead.
Result<std::vector<HubFile>> description_files(const HubListing& listing, const std::string& repository);

/// The safetensors: those of the index, or model.safetensors where there is no index. Errors: kInvalidInput; kUnsupported
/// for weights in another format, with what to do.
Result<std::vector<HubFile>> weight_files(const HubListing& listing, const std::string& repository,
                                          const std::set<std::string>& indexed);

/// A GGUF file, with the other parts of a split one. Errors: kInvalidInput.
Result<std::vector<HubFile>> gguf_model_files(const HubListing& listing, const std::string& repository,
                                              const std::string& file);

/// A note for the user if the tokenizer is in another form; otherwise empty.
[[nodiscard]] std::string remark_on_tokenizer(const HubListing& listing);

/// The sum of their sizes. Errors: kInvalidInput if one has no size or no hash, or the sum does not fit.
Result<std::int64_t> total_size(std::span<const HubFile> files, const std::string& repository);

}  // namespace secondsource
