// Stubs for the functions of core/hash.h that the cache of packed weights calls. OpenSSL is not available for the
// cross-compilation target, and the suite never uses that cache.

#include "core/check.h"
#include "core/hash.h"

namespace secondsource {

struct Sha256::State {};
Sha256::Sha256() = default;
Sha256::~Sha256() = default;
void Sha256::update(std::span<const std::byte>) {
  SS_CHECK(false, "built without OpenSSL");
}
std::string Sha256::finish() {
  SS_CHECK(false, "built without OpenSSL");
}
std::string sha256_hex(std::string_view) {
  SS_CHECK(false, "built without OpenSSL");
}
Checksum checksum_of(std::span<const std::byte>) {
  SS_CHECK(false, "built without OpenSSL");
}

}  // namespace secondsource
