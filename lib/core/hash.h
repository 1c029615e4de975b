#pragma once
// SHA-256, and a checksum that is faster than reading memory, both from OpenSSL.

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

/// The digest of a file's content, which is read in pieces. Errors: kIo.
[[nodiscard]] Result<std::string> sha256_of_file(const std::filesystem::path& path);

/// A 128-bit checksum that detects damage but not tampering: AES-GMAC (NIST SP 800-38D) under a public key. It
/// processes several GB/s per core on CPUs with carry-less multiplication, three times the rate of SHA-256.
using Checksum = std::array<std::byte, 16>;
[[nodiscard]] Checksum checksum_of(std::span<const std::byte> bytes);

}  // namespace secondsource
