#pragma once
// Readers of the "normalizer", "pre_tokenizer" and "decoder" parts of a tokenizer.json. Each takes the value of the
// part and the name of the file for messages, and appends steps; a Sequence is flattened. Errors: kInvalidInput for a
// malformed part, kUnsupported for a type that this reader does not know.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/result.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"

namespace secondsource::tokenizer {

Result<void> read_normalizer(const nlohmann::json& value, const std::string& name, std::vector<NormalizerStep>& steps);
Result<void> read_pre_tokenizer(const nlohmann::json& value, const std::string& name,
                                std::vector<PreTokenizerStep>& steps);
Result<void> read_decoder(const nlohmann::json& value, const std::string& name, std::vector<DecoderStep>& steps);

}  // namespace secondsource::tokenizer
