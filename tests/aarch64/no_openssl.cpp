// What of core/hash.h the cache of packed weights would call. There is no OpenSSL for the target here; nothing in this
// suite asks for that cache.

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
