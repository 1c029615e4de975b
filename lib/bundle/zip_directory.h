#pragma once
// The names in the central directory of a zip, read from its bytes. libzip returns names as C strings, so that a name with
// a zero byte would look like another one than the archive has.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// Fills `out` with the bytes of the archive from `offset` on.
using ReadBytes = std::function<Result<void>(std::uint64_t offset, std::span<std::byte> out)>;

/// Refuses an archive of `archive_bytes` with a zero byte in one of its `n_entries` names. Call it after the library has
/// checked that the directory is consistent. Errors: kInvalidInput, and those of `read`.
Result<void> check_no_zero_in_names(std::uint64_t archive_bytes, std::uint64_t n_entries, const ReadBytes& read,
                                    std::string_view name);

}  // namespace secondsource
