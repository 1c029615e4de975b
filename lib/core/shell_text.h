#pragma once
// Words of a command line as a POSIX shell reads them.

#include <span>
#include <string>
#include <string_view>

namespace secondsource {

/// `text` in single quotes, which a shell takes as it is.
[[nodiscard]] std::string single_quoted(std::string_view text);

/// The words as one command line, with quotes around those words only that a shell would not take as they are.
[[nodiscard]] std::string shell_command(std::span<const std::string> words);

}  // namespace secondsource
