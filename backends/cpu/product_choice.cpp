#include "cpu/product_choice.h"

#include <fmt/format.h>
#ifdef SECONDSOURCE_CPU_X86
#include <cpuid.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/clock.h"

namespace secondsource::cpu {
namespace {

constexpr std::array kOfBf16{Product::kBf16, Product::kInt8, Product::kInt8Group, Product::kInt4, Product::kFp8};

/// The instruction set whose kernels multiply in f32.
constexpr Isa kWidening = Isa::kAvx512;

/// Blocks of GGUF and nvfp4 follow the choice for int4. Where that is f32, they take the kernels of this instruction set, most of which
/// multiply by digits and do not round activations either.
constexpr Isa kWideningBlocks = Isa::kAvx512Vnni;
constexpr std::array kBlocks{Product::kQ2K,   Product::kQ3K,   Product::kQ4K,   Product::kQ5K,
                             Product::kQ6K,   Product::kQ41,   Product::kQ50,   Product::kQ51,
                             Product::kIq4Xs, Product::kIq4Nl, Product::kNvfp4, Product::kNvfp4Quantized};

std::string_view name_of(Product product) {
  switch (product) {
    case Product::kBf16:
      return "bf16";
    case Product::kInt8:
      return "int8";
    case Product::kInt8Group:
      return "int8-g32";
    case Product::kInt4:
      return "int4";
    case Product::kFp8:
      return "fp8";
    default:
      return "";
  }
}

ProductChoice all_in(Isa isa, Arithmetic arithmetic, ChoiceBasis basis) {
  ProductChoice choice{.basis = basis, .products = {}};
  for (const Product product : choosable_products(isa)) choice.products.push_back({product, arithmetic});
  return choice;
}

std::string known_names(Isa isa) {
  std::string names;
  for (const Product product : choosable_products(isa))
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(product));
  return names;
}

/// Bytes of one tile of `k` columns in the layout that packed_weight.h describes.
std::int64_t tile_bytes_of(Product product, std::int64_t k) {
  switch (product) {
    case Product::kInt8:
    case Product::kFp8:
      return k * kTileRows;
    case Product::kInt8Group:
      return k / kGroupColumns * kInt8GroupBytes;
    case Product::kInt4:
      return k / kGroupColumns * kInt4GroupBytes;
    default:
      return k * kTileRows * 2;
  }
}

void take_from(const KernelTable& other, Product product, KernelTable& table) {
  table.products[int(product)] = other.products[int(product)];
  table.products[int(product)].isa = other.isa;
  table.unpack[int(product)] = other.unpack[int(product)];
}

/// Tiles and activations of zeros: the time of these instructions does not depend on values.
class TimedOperands {
 public:
  static constexpr std::int64_t kColumns = 1024;
  static constexpr std::int64_t kTiles = 4;

  TimedOperands()
      : tiles_(kTiles * kColumns * kTileRows * 2 / sizeof(Line)),
        rows_(kColumns * kMostRows * 4 / sizeof(Line)),
        sums_(kTiles * kTileRows * kMostRows) {}

  double time(const ProductKernel& kernel, Product product, int n_rows) {
    const std::int64_t start_ns = now_ns();
    kernel.multiply({.a = rows_.data(),
                     .n_rows = n_rows,
                     .tiles = tiles_.front().bytes,
                     .tile_bytes = tile_bytes_of(product, kColumns),
                     .n_tiles = kTiles,
                     .k = kColumns,
                     .c = sums_.data(),
                     .c_stride = kTiles * kTileRows});
    return static_cast<double>(now_ns() - start_ns);
  }

 private:
  static constexpr std::int64_t kMostRows = *std::ranges::max_element(kTimedRows);
  struct alignas(64) Line {
    std::byte bytes[64] = {};
  };
  std::vector<Line> tiles_;
  std::vector<Line> rows_;
  std::vector<float> sums_;
};

}  // namespace

std::span<const Product> choosable_products(Isa isa) {
  if (isa == Isa::kAvx512Bf16) return kOfBf16;
  return {};
}

std::string to_text(const ProductChoice& choice) {
  std::string text;
  for (const auto& [product, arithmetic] : choice.products) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", name_of(product), secondsource::to_string(arithmetic));
  }
  return text;
}

Result<ProductChoice> parse_products(Isa isa, std::string_view text, ChoiceBasis basis) {
  const std::string what = basis == ChoiceBasis::kEnvironment ? kProductsVariable : "option products";
  if (choosable_products(isa).empty()) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("{}: instruction set {} multiplies each product in one way only", what, to_string(isa))};
  }
  if (const auto arithmetic = enum_from_name<Arithmetic>(text)) return all_in(isa, *arithmetic, basis);
  ProductChoice choice = all_in(isa, Arithmetic::kBf16, basis);
  for (std::string_view rest = text;;) {
    const std::string_view item = rest.substr(0, rest.find(','));
    const std::size_t equals = std::min(item.find('='), item.size());
    const auto chosen = std::ranges::find(choice.products, item.substr(0, equals),
                                          [](const ChosenProduct& one) { return name_of(one.product); });
    const auto arithmetic = enum_from_name<Arithmetic>(item.substr(std::min(equals + 1, item.size())));
    if (chosen == choice.products.end() || !arithmetic) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: expected f32, bf16, or a list such as int8=f32,int4=bf16 of {}, found {}", what,
                               known_names(isa), text)};
    }
    chosen->arithmetic = *arithmetic;
    if (item.size() == rest.size()) return choice;
    rest.remove_prefix(item.size() + 1);
  }
}

CpuFamily this_cpu_family() {
  CpuFamily cpu;
#ifdef SECONDSOURCE_CPU_X86
  unsigned eax = 0;
  unsigned words[3] = {};  // the vendor's name is in ebx, edx, ecx
  if (__get_cpuid(0, &eax, &words[0], &words[2], &words[1]) == 0) return cpu;
  for (const unsigned word : words) {
    for (int byte = 0; byte < 4; ++byte) cpu.vendor += static_cast<char>(word >> (8 * byte) & 0xffU);
  }
  unsigned unused = 0;
  if (__get_cpuid(1, &eax, &unused, &unused, &unused) == 0) return cpu;
  const unsigned base = eax >> 8 & 0xfU;
  constexpr unsigned kExtended = 0xf;
  unsigned features = 0;
  constexpr unsigned kAmxBf16 = 1U << 22;
  if (__get_cpuid_count(7, 0, &unused, &unused, &unused, &features) != 0) cpu.has_amx = (features & kAmxBf16) != 0;
  cpu.family = static_cast<int>(base == kExtended ? base + (eax >> 20 & 0xffU) : base);
#endif
  return cpu;
}

std::optional<Arithmetic> known_arithmetic(const CpuFamily& cpu) {
  // Multiply-adds per second in BF16 and in f32 (kernel_bench --machine): 470 and 235 Gflop/s on a Zen 4, 932 and 501 on a
  // Zen 5, two cores each (November 2026). Family 25 with BF16 instructions is Zen 4, family 26 is Zen 5.
  constexpr int kZen4 = 25;
  constexpr int kZen5 = 26;
  if (cpu.vendor == "AuthenticAMD" && (cpu.family == kZen4 || cpu.family == kZen5)) return Arithmetic::kBf16;
  // On two shared Xeons with AMX: 173 in BF16 and 346 in f32, two cores of a Sapphire Rapids; 93 and 248, one core of another one
  // (November 2026). A measurement beside builds chose BF16 for int8-g32 twice in 20 times.
  if (cpu.vendor == "GenuineIntel" && cpu.has_amx) return Arithmetic::kF32;
  return std::nullopt;
}

std::vector<ProductTimes> measure_products(Isa isa) {
  constexpr int kRepetitions = 6;  // in alternation, so that a change of clock affects both kernels; the fastest counts
  TimedOperands operands;
  std::vector<ProductTimes> all;
  for (const Product product : choosable_products(isa)) {
    ProductTimes times{.product = product, .f32_ns = {}, .bf16_ns = {}};
    times.f32_ns.fill(std::numeric_limits<double>::infinity());
    times.bf16_ns.fill(std::numeric_limits<double>::infinity());
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
      for (std::size_t i = 0; i < kTimedRows.size(); ++i) {
        const auto time_of = [&](Isa of) {
          return operands.time(kernel_table(of).products[int(product)], product, kTimedRows[i]);
        };
        times.f32_ns[i] = std::min(times.f32_ns[i], time_of(kWidening));
        times.bf16_ns[i] = std::min(times.bf16_ns[i], time_of(isa));
      }
    }
    all.push_back(times);
  }
  return all;
}

ProductChoice choose_fastest(std::span<const ProductTimes> times) {
  ProductChoice choice{.basis = ChoiceBasis::kMeasured, .products = {}};
  for (const ProductTimes& of : times) {
    double log_ratio = 0;
    for (std::size_t i = 0; i < kTimedRows.size(); ++i) log_ratio += std::log(of.f32_ns[i] / of.bf16_ns[i]);
    const bool is_f32 = log_ratio <= static_cast<double>(kTimedRows.size()) * std::log(kClearlyFaster);
    choice.products.push_back({of.product, is_f32 ? Arithmetic::kF32 : Arithmetic::kBf16});
  }
  return choice;
}

Result<ProductChoice> choose_products(Isa isa, const ProductRequest& request) {
  if (request.products) return parse_products(isa, *request.products, ChoiceBasis::kOption);
  if (request.is_isa_given) return all_in(isa, Arithmetic::kBf16, ChoiceBasis::kInstructionSet);
  if (const char* const text = std::getenv(kProductsVariable); text != nullptr) {
    return parse_products(isa, text, ChoiceBasis::kEnvironment);
  }
  if (choosable_products(isa).empty()) return ProductChoice{};
  if (const auto arithmetic = known_arithmetic(this_cpu_family()))
    return all_in(isa, *arithmetic, ChoiceBasis::kKnownCpu);
  // Only the CPU's best instruction set is measured, because a forced one has returned above. So one result for the process is enough.
  static const ProductChoice measured = choose_fastest(measure_products(isa));
  return measured;
}

KernelTable kernels_of(Isa isa, const ProductChoice& choice) {
  KernelTable table = kernel_table(isa);
  for (const auto& [product, arithmetic] : choice.products) {
    if (arithmetic == Arithmetic::kBf16) continue;
    take_from(kernel_table(kWidening), product, table);
    // The choice for int4 holds for int4-zp, which is decoded in the same way, for mxfp4, which only takes other tables of the same size,
    // and for kBlocks.
    if (product != Product::kInt4) continue;
    take_from(kernel_table(kWidening), Product::kInt4Zero, table);
    take_from(kernel_table(kWidening), Product::kMxfp4, table);
    for (const Product block : kBlocks) take_from(kernel_table(kWideningBlocks), block, table);
  }
  return table;
}

}  // namespace secondsource::cpu
