#pragma once

#include <filesystem>
#include <string>

namespace secondsource {

/// What a file that was given instead of a bundle is, and what to do with it: "a GGUF file; ...". Empty for a zip, and for
/// a file of none of the kinds that are known here.
std::string known_as_no_bundle(const std::filesystem::path& file);

/// True if the file begins as a zip, or has no first bytes that could be read.
bool may_be_zip(const std::filesystem::path& file);

}  // namespace secondsource
