#pragma once
// Builds zips byte by byte, with any invalid field that a test asks for. Layout: PKWARE's APPNOTE.TXT, 4.3.7 and 4.3.12.

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"

namespace secondsource::test {

struct HandMadeEntry {
  std::string name{};
  std::string data{};
  bool deflate = false;
  std::uint32_t unix_mode = 0100644;
  std::optional<std::uint16_t> method{};           ///< a method other than stored (0) or deflated (8)
  std::optional<std::uint32_t> announced_bytes{};  ///< written instead of the true size
  std::uint32_t crc_error = 0;                     ///< flips these bits of the checksum
};

inline void put(std::string& out, std::uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
}

/// zlib's raw deflate, as zips store it.
inline std::string raw_deflate(const std::string& data) {
  z_stream stream{};
  SS_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK, "deflateInit2");
  std::string packed(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  SS_CHECK(::deflate(&stream, Z_FINISH) == Z_STREAM_END, "deflate");
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

inline std::string zip_bytes(const std::vector<HandMadeEntry>& entries) {
  std::string out;
  std::string directory;
  for (const HandMadeEntry& entry : entries) {
    const std::string packed = entry.deflate ? raw_deflate(entry.data) : entry.data;
    const auto crc = static_cast<std::uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(entry.data.data()), static_cast<uInt>(entry.data.size())));
    std::string common;  // the fields that the local header and the directory share
    put(common, 20, 2);
    put(common, 0x800, 2);  // names are UTF-8
    put(common, entry.method.value_or(entry.deflate ? 8 : 0), 2);
    put(common, 0, 4);
    put(common, crc ^ entry.crc_error, 4);
    put(common, packed.size(), 4);
    put(common, entry.announced_bytes.value_or(static_cast<std::uint32_t>(entry.data.size())), 4);
    put(common, entry.name.size(), 2);
    put(common, 0, 2);
    directory += "PK\x01\x02";
    put(directory, 0x0314, 2);  // made by Unix
    directory += common;
    put(directory, 0, 2 + 2 + 2);
    put(directory, static_cast<std::uint64_t>(entry.unix_mode) << 16, 4);
    put(directory, out.size(), 4);
    directory += entry.name;
    out += "PK\x03\x04" + common + entry.name + packed;
  }
  const std::size_t directory_offset = out.size();
  out += directory + "PK\x05\x06";
  put(out, 0, 4);
  put(out, entries.size(), 2);
  put(out, entries.size(), 2);
  put(out, directory.size(), 4);
  put(out, directory_offset, 4);
  put(out, 0, 2);
  return out;
}

}  // namespace secondsource::test
