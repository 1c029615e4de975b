#include "core/hash.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <array>
#include <cstdio>
#include <new>
#include <vector>

#include "core/file.h"

namespace secondsource {
namespace {

/// OpenSSL computes SHA-256 and GMAC itself and fails only where it gets no memory.
void require_memory(bool succeeded) {
  if (!succeeded) throw std::bad_alloc();
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { require_memory(context != nullptr && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1); }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
  require_memory(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  require_memory(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1);
  std::string text;
  text.reserve(2 * digest.size());
  for (const unsigned char byte : digest) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(bytes)));
  return hash.finish();
}

Checksum checksum_of(std::span<const std::byte> bytes) {
  const std::unique_ptr<EVP_MAC, decltype(&EVP_MAC_free)> mac(EVP_MAC_fetch(nullptr, "GMAC", nullptr), &EVP_MAC_free);
  require_memory(mac != nullptr);
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(EVP_MAC_CTX_new(mac.get()),
                                                                          &EVP_MAC_CTX_free);
  std::array<unsigned char, 16> key{};
  std::array<unsigned char, 12> nonce{};
  char cipher[] = "AES-128-GCM";
  const std::array parameters = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, cipher, 0),
                                 OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_IV, nonce.data(), nonce.size()),
                                 OSSL_PARAM_construct_end()};
  Checksum checksum{};
  std::size_t size = 0;
  require_memory(
      context != nullptr && EVP_MAC_init(context.get(), key.data(), key.size(), parameters.data()) == 1 &&
      EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1 &&
      EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(checksum.data()), &size, checksum.size()) == 1 &&
      size == checksum.size());
  return checksum;
}

Result<std::string> sha256_of_file(const std::filesystem::path& path) {
  SS_TRY(InputFile file, InputFile::open(path));
  Sha256 hash;
  std::vector<std::byte> buffer(1 << 20);
  while (true) {
    SS_TRY(const std::size_t n_read, file.read(buffer));
    if (n_read == 0) return hash.finish();
    hash.update(std::span(buffer).first(n_read));
  }
}

}  // namespace secondsource
