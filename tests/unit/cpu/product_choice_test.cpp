// Which arithmetic is chosen for weights: by planted times, by the CPU's family, by option and by environment, and what the device says
// about it. tests/conformance compares the products of every choice with the reference.

#include "cpu/product_choice.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cpu/backend.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::cpu {
namespace {

/// Times in which f32 takes `ratios` of BF16's time, by kTimedRows.
ProductTimes planted(Product product, std::array<double, kTimedRows.size()> ratios) {
  ProductTimes times{.product = product, .f32_ns = {}, .bf16_ns = {}};
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    times.bf16_ns[i] = 1000.0 * static_cast<double>(i + 1);
    times.f32_ns[i] = ratios[i] * times.bf16_ns[i];
  }
  return times;
}

bool can_choose() {
  return !choosable_products(usable_isas().back()).empty();
}

/// Sets kProductsVariable, or removes it, until the end of the test.
class ProductsInEnvironment {
 public:
  explicit ProductsInEnvironment(const char* value) {
    if (const char* const before = std::getenv(kProductsVariable); before != nullptr) before_ = before;
    set(value);
  }
  ProductsInEnvironment(const ProductsInEnvironment&) = delete;
  ProductsInEnvironment& operator=(const ProductsInEnvironment&) = delete;
  ~ProductsInEnvironment() { set(before_ ? before_->c_str() : nullptr); }

 private:
  static void set(const char* value) {
    if (value == nullptr) {
      ::unsetenv(kProductsVariable);
    } else {
      ::setenv(kProductsVariable, value, 1);
    }
  }
  std::optional<std::string> before_;
};

std::string property(const Backend& backend, std::string_view name) {
  for (const auto& [key, value] : backend.device().properties) {
    if (key == name) return value;
  }
  return "absent";
}

Result<std::unique_ptr<Backend>> backend_with(std::vector<std::pair<std::string, std::string>> extra) {
  BackendOptions options;
  options.n_threads = 1;
  options.extra = std::move(extra);
  return create(options);
}

}  // namespace

TEST_CASE("each product takes the arithmetic that is faster, and keeps BF16 where the two are alike") {
  const std::vector<ProductTimes> times = {
      planted(Product::kBf16, {0.5, 0.5}), planted(Product::kInt8, {2.0, 2.0}),
      planted(Product::kInt8Group, {0.9, 0.9}), planted(Product::kInt4, {0.95, 0.7}),  // 0.815 together
  };
  const ProductChoice choice = choose_fastest(times);
  CHECK(choice.basis == ChoiceBasis::kMeasured);
  CHECK(to_text(choice) == "bf16=f32,int8=bf16,int8-g32=bf16,int4=f32");
  // A ratio of 4 with one row outweighs one of a half with four, so that decoding a single sequence does not become slower.
  CHECK(to_text(choose_fastest(std::vector{planted(Product::kInt8, {4.0, 0.5})})) == "int8=bf16");
  CHECK(to_text(choose_fastest({})).empty());
}

TEST_CASE("CPUs on which both were measured are known by their family, and no others") {
  CHECK(known_arithmetic({"AuthenticAMD", 25}) == Arithmetic::kBf16);
  CHECK(known_arithmetic({"AuthenticAMD", 26}) == Arithmetic::kBf16);
  CHECK_FALSE(known_arithmetic({"AuthenticAMD", 23}));
  CHECK(known_arithmetic({"GenuineIntel", 6, true}) == Arithmetic::kF32);
  CHECK_FALSE(known_arithmetic({"GenuineIntel", 6}));
  CHECK_FALSE(known_arithmetic({"", 0}));
#ifdef __x86_64__
  CHECK(this_cpu_family().vendor.size() == 12);
  CHECK(this_cpu_family().family > 0);
#endif
}

TEST_CASE("a list of products is read, and anything else is refused in one line") {
  const auto read = [](std::string_view text) { return parse_products(Isa::kAvx512Bf16, text, ChoiceBasis::kOption); };
  CHECK(to_text(read("f32").value()) == "bf16=f32,int8=f32,int8-g32=f32,int4=f32,fp8=f32");
  CHECK(to_text(read("bf16").value()) == "bf16=bf16,int8=bf16,int8-g32=bf16,int4=bf16,fp8=bf16");
  CHECK(to_text(read("int8=f32,int4=f32").value()) == "bf16=bf16,int8=f32,int8-g32=bf16,int4=f32,fp8=bf16");
  CHECK(to_text(read(to_text(read("int8-g32=f32").value())).value()) == to_text(read("int8-g32=f32").value()));
  CHECK(read("f32").value().basis == ChoiceBasis::kOption);
  for (const std::string_view bad :
       {"", "fast", "int8", "int8=", "=f32", "int8=f64", "f16=f32", "int8=f32,", ",int8=f32"}) {
    CAPTURE(std::string(bad));
    const auto refused = read(bad);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::kInvalidInput);
    CHECK(refused.error().message.ends_with(fmt::format("of bf16, int8, int8-g32, int4, fp8, found {}", bad)));
  }
  // AMX multiplies all weights in tiles, and a CPU without BF16 instructions has nothing to choose.
  CHECK_FALSE(parse_products(Isa::kAmx, "f32", ChoiceBasis::kOption).has_value());
  const auto without = parse_products(Isa::kAvx2, "f32", ChoiceBasis::kEnvironment);
  REQUIRE_FALSE(without.has_value());
  CHECK(without.error().code == ErrorCode::kUnavailable);
  CHECK(without.error().message ==
        "SECONDSOURCE_CPU_PRODUCTS: instruction set avx2 multiplies each product in one way only");
}

TEST_CASE("a product in f32 has the kernels of AVX-512") {
  if (!can_choose()) return;  // a CPU without BF16 instructions
  const KernelTable& widening = kernel_table(Isa::kAvx512);
  const KernelTable table =
      kernels_of(Isa::kAvx512Bf16, parse_products(Isa::kAvx512Bf16, "int8=f32", ChoiceBasis::kOption).value());
  CHECK(table.products[int(Product::kInt8)].multiply == widening.products[int(Product::kInt8)].multiply);
  CHECK(std::string(table.products[int(Product::kInt8)].isa) == "avx512");
  CHECK(table.unpack[int(Product::kInt8)].into == Product::kF32);
  const KernelTable& own = kernel_table(Isa::kAvx512Bf16);
  CHECK(table.products[int(Product::kInt4)].multiply == own.products[int(Product::kInt4)].multiply);
  CHECK(table.unpack[int(Product::kInt8Group)].unpack == own.unpack[int(Product::kInt8Group)].unpack);
}

TEST_CASE("both kernels of every product are timed") {
  if (!can_choose()) return;  // a CPU without BF16 instructions
  const Isa isa = usable_isas().back();
  const std::vector<ProductTimes> times = measure_products(isa);
  REQUIRE(times.size() == choosable_products(isa).size());
  for (const ProductTimes& of : times) {
    for (std::size_t i = 0; i < kTimedRows.size(); ++i) {
      CHECK(of.f32_ns[i] > 0);
      CHECK(std::isfinite(of.f32_ns[i]));
      CHECK(of.bf16_ns[i] > 0);
      CHECK(std::isfinite(of.bf16_ns[i]));
    }
  }
}

TEST_CASE("the device says what was chosen and why, and hands on what another process might choose otherwise") {
  if (!can_choose()) return;  // a CPU without BF16 instructions
  {
    const ProductsInEnvironment none(nullptr);
    const auto by_option = backend_with({{"products", "int8=f32"}}).value();
    CHECK(property(*by_option, "products").find("int8=f32") != std::string::npos);
    CHECK(property(*by_option, "products_basis") == "option");
    CHECK(by_option->device().environment.empty());
    const auto forced = backend_with({{"isa", "avx512_bf16"}}).value();
    CHECK(property(*forced, "products") == "bf16=bf16,int8=bf16,int8-g32=bf16,int4=bf16,fp8=bf16");
    CHECK(property(*forced, "products_basis") == "instruction set");
    CHECK(property(*backend_with({{"isa", "avx512"}}).value(), "products") == "absent");
    const auto chosen = backend_with({}).value();
    const bool is_known = known_arithmetic(this_cpu_family()).has_value();
    CHECK(property(*chosen, "products_basis") == (is_known ? "known CPU" : "measured"));
    CHECK(chosen->device().environment.empty() == is_known);
  }
  {
    const ProductsInEnvironment all_f32("f32");
    const auto backend = backend_with({}).value();
    CHECK(property(*backend, "products_basis") == "environment");
    REQUIRE(backend->device().environment.size() == 1);
    CHECK(backend->device().environment[0] ==
          std::pair<std::string, std::string>(kProductsVariable, property(*backend, "products")));
    CHECK(property(*backend_with({{"isa", "avx512_bf16"}}).value(), "products_basis") == "instruction set");
  }
  const ProductsInEnvironment bad("quick");
  CHECK(backend_with({}).error().message.starts_with("SECONDSOURCE_CPU_PRODUCTS: expected f32, bf16, or a list"));
}

}  // namespace secondsource::cpu
