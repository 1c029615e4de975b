#include "core/git_blob_hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <new>
#include <system_error>
#include <vector>

#include "core/file.h"

namespace secondsource {

Result<std::string> git_blob_hash_of_file(const std::filesystem::path& path) {
  SS_TRY(InputFile file, InputFile::open(path));
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return Error{ErrorCode::kIo, fmt::format("{}: cannot stat: {}", path.string(), error.message())};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> hash(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool has_memory = hash != nullptr && EVP_DigestInit_ex(hash.get(), EVP_sha1(), nullptr) == 1;
  const std::string head = fmt::format("blob {}", size);
  has_memory = has_memory && EVP_DigestUpdate(hash.get(), head.c_str(), head.size() + 1) == 1;  // with its zero byte
  std::vector<std::byte> buffer(1 << 20);
  while (has_memory) {
    SS_TRY(const std::size_t n_read, file.read(buffer));
    if (n_read == 0) break;
    has_memory = EVP_DigestUpdate(hash.get(), buffer.data(), n_read) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int n_bytes = 0;
  if (!has_memory || EVP_DigestFinal_ex(hash.get(), digest.data(), &n_bytes) != 1) throw std::bad_alloc();
  std::string text;
  for (unsigned int i = 0; i < n_bytes; ++i) fmt::format_to(std::back_inserter(text), "{:02x}", digest.at(i));
  return text;
}

}  // namespace secondsource
