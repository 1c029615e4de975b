// Fuzzes price books. An accepted book must be accepted again after it was written, with the same rows.

#include <cstdint>
#include <cstdlib>

#include "cost/price_book.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const auto book = parse_price_book(std::string_view(reinterpret_cast<const char*>(data), size), "prices.yaml");
  if (!book) {
    if (book.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const std::string written = write_price_book(*book, "2026-11-20");
  const auto again = parse_price_book(written, "prices.yaml");
  if (!again || write_price_book(*again, "2026-11-20") != written) std::abort();
  return 0;
}
