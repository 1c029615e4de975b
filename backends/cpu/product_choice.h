#pragma once
// The arithmetic in which weights are multiplied where a CPU has two for the same product: their values and the
// activations as BF16 pairs, or both widened to f32. Which is faster is a property of the CPU and not of its flags:
// vdpbf16ps does twice as many multiply-adds as the f32 instruction on a Zen 4 and half as many on Intel's CPUs with AMX.
//
//   SS_TRY(const ProductChoice choice, choose_products(isa, {}));
//   const KernelTable table = kernels_of(isa, choice);
//
// The two round differently, so the choice is part of a run's settings: it is among DeviceInfo::properties, and the first
// process of a run hands its choice to all others (README.md, Choice of products) instead of letting each measure anew.

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.h"
#include "core/result.h"
#include "cpu/cpu_features.h"
#include "cpu/kernels/kernel_table.h"

namespace secondsource::cpu {

enum class Arithmetic : std::uint8_t { kF32, kBf16 };
SS_ENUM_NAMES(Arithmetic, "f32", "bf16")

/// What a choice rests on.
enum class ChoiceBasis : std::uint8_t { kInstructionSet, kKnownCpu, kMeasured, kEnvironment, kOption };
SS_ENUM_NAMES(ChoiceBasis, "instruction set", "known CPU", "measured", "environment", "option")

struct ChosenProduct {
  Product product = Product::kBf16;
  Arithmetic arithmetic = Arithmetic::kBf16;
  bool operator==(const ChosenProduct&) const = default;
};

struct ProductChoice {
  ChoiceBasis basis = ChoiceBasis::kInstructionSet;
  std::vector<ChosenProduct> products;  ///< in the order of choosable_products(); empty where nothing is to be chosen
};

/// The environment variable by which a process hands its choice on, and a user overrides it: as the option `products`.
inline constexpr const char* kProductsVariable = "SECONDSOURCE_CPU_PRODUCTS";

/// The products that this instruction set can multiply in f32 as well as in BF16; empty if it has only one of them.
[[nodiscard]] std::span<const Product> choosable_products(Isa isa);

/// For example "bf16=bf16,int8=f32,int8-g32=f32,int4=bf16,fp8=bf16".
[[nodiscard]] std::string to_text(const ProductChoice& choice);

/// Reads to_text()'s format, which may leave products out (they keep BF16), or "f32" or "bf16" for all of them. Errors:
/// kInvalidInput for another text, kUnavailable for an instruction set without a choice.
[[nodiscard]] Result<ProductChoice> parse_products(Isa isa, std::string_view text, ChoiceBasis basis);

/// The maker and family of a CPU as CPUID tells them, and whether it has AMX, permitted or not; empty, 0 and false where there is no
/// CPUID.
struct CpuFamily {
  std::string vendor;
  int family = 0;
  bool has_amx = false;
};
[[nodiscard]] CpuFamily this_cpu_family();

/// The arithmetic that is faster for all products on a CPU on which this project measured both; nullopt for others.
[[nodiscard]] std::optional<Arithmetic> known_arithmetic(const CpuFamily& cpu);

/// Numbers of activation rows with which kernels are timed: decoding one sequence, and a few.
inline constexpr std::array<int, 2> kTimedRows = {1, 4};

/// How long the two kernels of a product take for the same tiles, by kTimedRows.
struct ProductTimes {
  Product product = Product::kBf16;
  std::array<double, kTimedRows.size()> f32_ns = {};
  std::array<double, kTimedRows.size()> bf16_ns = {};
};

/// Times the kernels over tiles that the second-level cache holds: about a millisecond. `isa` must be usable.
[[nodiscard]] std::vector<ProductTimes> measure_products(Isa isa);

/// choose_fastest() chooses f32 where it takes at most this share of BF16's time (the geometric mean over kTimedRows), so that noise does
/// not decide between two that are equally fast.
inline constexpr double kClearlyFaster = 0.85;
[[nodiscard]] ProductChoice choose_fastest(std::span<const ProductTimes> times);

/// What the user asked for.
struct ProductRequest {
  bool is_isa_given = false;            ///< the instruction set was forced: it keeps its kernels, nothing is measured
  std::optional<std::string> products;  ///< the option `products`
};

/// The choice, in this order: the option, the kernels of a forced instruction set, the environment variable, the table of
/// known CPUs, a measurement, which is made once per process. Errors: those of parse_products().
[[nodiscard]] Result<ProductChoice> choose_products(Isa isa, const ProductRequest& request);

/// The kernels of an instruction set, in which the chosen ones replace its own.
[[nodiscard]] KernelTable kernels_of(Isa isa, const ProductChoice& choice);

}  // namespace secondsource::cpu
