#pragma once
// SHA-256, and a checksum that is faster than memory, over OpenSSL.

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/result.h"

namespace secondsource {

/// SHA-256 of bytes that arrive in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void update(std::span<const std::byte> bytes);
  /// The digest as 64 lower-case hexadecimal digits. Call once, at the end.
  [[nodiscard]] std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256_hex(std::string_view bytes);

/// The digest of a file's content, read in pieces. Errors: kIo.
[[nodiscard]] Result<std::string> sha256_of_file(const std::filesystem::path& path);

/// 128 bits that tell damage, not intent: AES-GMAC (NIST SP 800-38D) under a key that everybody knows. Several GB/s a
/// core where the CPU multiplies without carries, three times SHA-256.
using Checksum = std::array<std::byte, 16>;
[[nodiscard]] Checksum checksum_of(std::span<const std::byte> bytes);

}  // namespace secondsource
