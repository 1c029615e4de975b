// Compares the table "How each format is multiplied" of backends/cpu/README.md with the kernel tables of the instruction sets: for every
// number of rows, in which arithmetic a kernel multiplies, and whether tiles are unpacked before.

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "cpu/cpu_features.h"
#include "cpu/kernels/kernel_table.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::cpu {
namespace {

constexpr int kMostRows = 200;

/// The label of each row of the table.
const std::map<std::string, std::vector<Product>>& products_by_label() {
  static const std::map<std::string, std::vector<Product>> products = {
      {"`bf16`", {Product::kBf16}},
      {"`f16`", {Product::kF16}},
      {"`int8`", {Product::kInt8}},
      {"`int8-g32`", {Product::kInt8Group}},
      {"`int4`", {Product::kInt4}},
      {"`mxfp4`", {Product::kMxfp4}},
      {"`int4-zp`", {Product::kInt4Zero}},
      {"`fp8`", {Product::kFp8}},
      {"`fp8-g128`", {Product::kFp8Group}},
      {"`q4_k`", {Product::kQ4K}},
      {"`q5_k`", {Product::kQ5K}},
      {"`q6_k`", {Product::kQ6K}},
      {"`q4_1`", {Product::kQ41}},
      {"`q2_k`, `q3_k`, `q5_0`, `q5_1`", {Product::kQ2K, Product::kQ3K, Product::kQ50, Product::kQ51}},
      {"`iq4_xs`, `iq4_nl`", {Product::kIq4Xs, Product::kIq4Nl}},
      {"`nvfp4`, activations as they are", {Product::kNvfp4}},
      {"`nvfp4`, activations in NVFP4", {Product::kNvfp4Quantized}},
      {"`int8-w8a8`", {Product::kInt8Quantized}},
      {"`int8-g32-w8a8`", {Product::kInt8GroupQuantized}},
      {"`int4-w8a8`", {Product::kInt4Quantized}},
  };
  return products;
}

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(' ') + 1 - first));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(trimmed(part));
  return parts;
}

/// The cells of the table, line by line; the first line names the instruction sets.
std::vector<std::vector<std::string>> table_of_readme() {
  const Result<std::string> read = read_file(test::source_path("backends/cpu/README.md"));
  REQUIRE_OK(read);
  const std::string& page = *read;
  std::vector<std::vector<std::string>> lines;
  std::istringstream stream(page.substr(page.find("### How each format is multiplied")));
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("|")) {
      if (!lines.empty()) break;
      continue;
    }
    if (line.starts_with("| ---")) continue;
    lines.push_back(split(line.substr(1, line.size() - 2), '|'));
  }
  return lines;
}

/// How a product of some number of rows is computed: whether tiles are unpacked before, and the type of its packed activations.
struct Way {
  bool is_unpacked = false;
  ActType act = ActType::kF32;
};

Way way_of(const KernelTable& table, Product product, int n_rows) {
  const Unpacking& unpacking = table.unpack[int(product)];
  const bool is_unpacked = unpacking.unpack != nullptr && n_rows >= unpacking.from_rows;
  const Product multiplied = is_unpacked ? unpacking.into : product;
  return {is_unpacked, kernel_for_rows(table.products[int(multiplied)], n_rows).act};
}

/// Whether a kernel that reads activations of this type multiplies in what the table calls `arithmetic`.
bool is_called(ActType act, std::string_view arithmetic) {
  const bool is_bf16 = act == ActType::kBf16 || act == ActType::kBf16Groups;
  const bool is_pieces = act == ActType::kBf16Pieces || act == ActType::kI8InBf16;
  if (arithmetic == "f32") return act == ActType::kF32;
  if (arithmetic == "BF16") return is_bf16;
  if (arithmetic == "tiles") return is_bf16 || is_pieces;
  if (arithmetic == "pieces") return is_pieces;
  if (arithmetic == "digits") return has_digits(act);
  const bool has_16_bits = act == ActType::kI16 || act == ActType::kI16Nibbles;
  if (arithmetic == "int32 (16 bits)") return has_16_bits;
  if (arithmetic == "int32" || arithmetic == "int16" || arithmetic == "int8 tiles") {
    return !is_bf16 && !is_pieces && !has_16_bits && !has_digits(act) && act != ActType::kF32;
  }
  FAIL("an arithmetic that this test does not know: " << arithmetic);
  return false;
}

/// What a cell of the table says of n_rows rows.
struct Stated {
  bool is_unpacked = false;
  std::string arithmetic;
};

int leading_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? number : 0;
}

/// The parts of a cell, separated by semicolons, apply from a number of rows on: "1 row: digits; more: BF16; 25+ unpacked, f32".
Stated stated_for(const std::string& cell, int n_rows) {
  Stated stated;
  int from_rows = 1;
  for (const std::string& part : split(cell, ';')) {
    std::string what = part;
    if (const std::size_t colon = part.find(": "); colon != std::string::npos) {
      what = part.substr(colon + 2);
      if (!part.starts_with("more")) {
        // "1 row", "1, 2 rows" and "up to 4 rows" end with the last number that they name.
        const int last = leading_number(part.substr(part.find_first_of("0123456789", part.starts_with("1, ") ? 2 : 0)));
        stated.arithmetic = what;
        from_rows = last + 1;
        continue;
      }
    } else if (const std::size_t plus = part.find("+ "); plus != std::string::npos) {
      from_rows = leading_number(part);
      what = part.substr(plus + 2);
    }
    if (n_rows < from_rows) continue;
    if (!what.starts_with("unpacked")) {
      stated.arithmetic = what;
      continue;
    }
    stated.is_unpacked = true;
    if (const std::size_t comma = what.find(", "); comma != std::string::npos)
      stated.arithmetic = what.substr(comma + 2);
  }
  return stated;
}

/// The part of a cell that is about this instruction set, where one of several has a part of its own: "digits (`avx2_vnni`: f32)".
std::string cell_for(const std::string& cell, std::string_view isa) {
  const std::size_t open = cell.find("(`");
  if (open == std::string::npos) return cell;
  const std::string own = cell.substr(open + 2, cell.rfind(')') - open - 2);
  const std::string name = own.substr(0, own.find('`'));
  return name == isa ? own.substr(own.find(": ") + 2) : trimmed(cell.substr(0, open));
}

bool is_usable(Isa isa) {
  return std::ranges::find(usable_isas(), isa) != usable_isas().end();
}

/// Whether this CPU can run the code that fills a table. Filling one takes no tile instructions and no AVX-VNNI, so that the tables of the
/// sets below those two are enough.
bool can_fill_table(Isa isa) {
  return is_usable(isa) || (isa == Isa::kAvx2Vnni && is_usable(Isa::kAvx2)) ||
         (isa == Isa::kAmx && is_usable(Isa::kAvx512Bf16));
}

constexpr std::array kIsasOfReadme{Isa::kScalar,     Isa::kAvx2,       Isa::kAvx2Vnni, Isa::kAvx512,
                                   Isa::kAvx512Vnni, Isa::kAvx512Bf16, Isa::kAmx,      Isa::kNeon};

}  // namespace

TEST_CASE("the README says in which arithmetic each number of rows is multiplied, and what is unpacked before") {
  const std::vector<std::vector<std::string>> lines = table_of_readme();
  REQUIRE(lines.size() == products_by_label().size() + 1);
  std::vector<std::string> compared;
  for (std::size_t column = 1; column < lines[0].size(); ++column) {
    for (const std::string& quoted : split(lines[0][column], ',')) {
      const std::string isa = quoted.substr(1, quoted.size() - 2);
      const auto* const named = std::ranges::find(kIsasOfReadme, isa, [](Isa each) { return to_string(each); });
      REQUIRE(named != kIsasOfReadme.end());
      if (!can_fill_table(*named)) continue;
      compared.push_back(isa);
      const KernelTable& table = kernel_table(*named);
      for (std::size_t line = 1; line < lines.size(); ++line) {
        const std::string cell = cell_for(lines[line].at(column), isa);
        for (const Product product : products_by_label().at(lines[line][0])) {
          for (int n_rows = 1; n_rows <= kMostRows; ++n_rows) {
            CAPTURE(isa, lines[line][0], cell, n_rows, int(product));
            const Way way = way_of(table, product, n_rows);
            const Stated stated = stated_for(cell, n_rows);
            CAPTURE(int(way.act), way.is_unpacked, stated.arithmetic);
            REQUIRE(way.is_unpacked == stated.is_unpacked);
            REQUIRE(is_called(way.act, stated.arithmetic));
          }
        }
      }
    }
  }
  REQUIRE(!compared.empty());
}

}  // namespace secondsource::cpu
