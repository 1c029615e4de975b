// Compares products through stand-ins for cuBLASLt and hipBLASLt (tests/support/fake_blas_lt.cpp) with row-major sums
// computed from the definition, and tests which library the options select.

#include <fmt/format.h>

#include <functional>

#include "core/half.h"
#include "cuda/cublaslt.h"
#include "gpu/host/backend.h"
#include "gpu/host/device_memory.h"
#include "gpu/shim/device.h"
#include "hip/hipblaslt.h"
#include "support/device_readings.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::gpu;
using test::EnvironmentVariable;

namespace {

struct Vendor {
  const char* name;
  const char* file;
  Result<std::shared_ptr<LibraryMatmul>> (*open)(const std::vector<std::string>& names);
};
const std::array kVendors = {Vendor{"cublaslt", SS_FAKE_CUBLASLT, cuda::open_cublaslt},
                             Vendor{"hipblaslt", SS_FAKE_HIPBLASLT, hip::open_hipblaslt}};

Vendor vendor(const char* name) {
  return std::string_view(name) == "cublaslt" ? kVendors[0] : kVendors[1];
}

/// Small integers, exact in every type, that vary with row, column and kind.
int value_at(std::int32_t row, std::int32_t col, int kind) {
  return (row * 7 + col * 3 + kind * 5) % 11 - 5;
}

std::vector<std::byte> matrix(ProductType type, std::int32_t rows, std::int32_t cols, int kind) {
  const std::size_t bytes = type == ProductType::kInt8 ? 1 : 2;
  std::vector<std::byte> out(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) * bytes);
  for (std::int32_t row = 0; row < rows; ++row) {
    for (std::int32_t col = 0; col < cols; ++col) {
      const int value = value_at(row, col, kind);
      const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(col);
      if (type == ProductType::kInt8) {
        out[at] = static_cast<std::byte>(value);
      } else {
        const std::uint16_t bits = type == ProductType::kF16 ? to_f16(static_cast<float>(value)).bits
                                                             : to_bf16(static_cast<float>(value)).bits;
        std::memcpy(&out[at * 2], &bits, sizeof bits);
      }
    }
  }
  return out;
}

/// The result of the library's plan for known operands. If `captured`, a graph that is replayed twice computes it.
std::vector<double> sums_of(LibraryMatmul& library, const LibraryProduct& product, bool captured) {
  auto memory = std::move(DeviceMemory::create(shim::make_shim_device({}))).value();
  const auto on_device = [&](const std::vector<std::byte>& bytes) {
    auto buffer = std::move(memory->allocate(MemoryPurpose::kWorkspace, bytes.size())).value();
    REQUIRE_OK(memory->upload(buffer.data(), bytes.data(), bytes.size()));
    return buffer;
  };
  const DeviceBuffer x = on_device(matrix(product.type, product.n_rows, product.n_inner, 0));
  const DeviceBuffer weight = on_device(matrix(product.type, product.n_cols, product.n_inner, 1));
  std::vector<float> out(static_cast<std::size_t>(product.n_rows) * static_cast<std::size_t>(product.n_cols), 1000.0F);
  const DeviceBuffer sums = on_device(
      {reinterpret_cast<const std::byte*>(out.data()), reinterpret_cast<const std::byte*>(out.data() + out.size())});
  auto plan = library.plan(product);
  REQUIRE_OK(plan);
  const auto workspace = std::move(memory->allocate(MemoryPurpose::kWorkspace, (*plan)->workspace_bytes())).value();
  const LibraryOperands operands{
      .x = x.data(), .weight = weight.data(), .added = sums.data(), .sums = sums.data(), .workspace = workspace.data()};
  Stream& stream = memory->stream();
  if (captured) REQUIRE_OK(stream.begin_capture());
  REQUIRE_OK((*plan)->launch(stream, operands));
  std::unique_ptr<Graph> graph;
  if (captured) {
    graph = std::move(stream.end_capture()).value();
    plan->reset();  // the graph keeps the plan alive
    for (int i = 0; i < 2; ++i) REQUIRE_OK(stream.replay(*graph));
  }
  REQUIRE_OK(memory->download(out.data(), sums.data(), out.size() * sizeof(float)));
  std::vector<double> result;
  for (const float value : out) {
    std::int32_t whole = 0;
    std::memcpy(&whole, &value, sizeof whole);
    result.push_back(product.type == ProductType::kInt8 ? whole : static_cast<double>(value));
  }
  return result;
}

std::vector<double> expected_sums(const LibraryProduct& product, int n_times) {
  std::vector<double> sums;
  for (std::int32_t row = 0; row < product.n_rows; ++row) {
    for (std::int32_t col = 0; col < product.n_cols; ++col) {
      double sum = 0;
      for (std::int32_t k = 0; k < product.n_inner; ++k) sum += value_at(row, k, 0) * value_at(col, k, 1);
      sums.push_back(product.adds ? 1000.0 + n_times * sum : sum);
    }
  }
  return sums;
}

}  // namespace

TEST_CASE("a library's product is x W^T, whatever the type and the shape") {
  const char* const name = GENERATE("cublaslt", "hipblaslt");
  const ProductType type = GENERATE(ProductType::kBf16, ProductType::kF16, ProductType::kInt8);
  CAPTURE(name, static_cast<int>(type));
  auto library = vendor(name).open({vendor(name).file});
  REQUIRE_OK(library);
  CHECK((*library)->name() == name);
  for (const auto& [rows, cols, inner] :
       {std::array{5, 8, 32}, std::array{64, 12, 96}, std::array{1, 4, 32}, std::array{7, 132, 64}}) {
    LibraryProduct product{.type = type, .n_rows = rows, .n_cols = cols, .n_inner = inner, .adds = false};
    CHECK(sums_of(**library, product, false) == expected_sums(product, 1));
    CHECK(sums_of(**library, product, true) == expected_sums(product, 2));
    if (type == ProductType::kInt8) continue;
    product.adds = true;
    CHECK(sums_of(**library, product, false) == expected_sums(product, 1));
    CHECK(sums_of(**library, product, true) == expected_sums(product, 2));
  }
}

TEST_CASE("a plan is made once for a shape and says what was chosen") {
  auto cublaslt = std::move(vendor("cublaslt").open({SS_FAKE_CUBLASLT})).value();
  const LibraryProduct product{.type = ProductType::kBf16, .n_rows = 64, .n_cols = 16, .n_inner = 32};
  const auto plan = std::move(cublaslt->plan(product)).value();
  CHECK(plan == cublaslt->plan(product).value());
  CHECK(plan->algorithm() == "algo66_tile20_stages35_splitk1");
  CHECK(plan->workspace_bytes() == 256 * (1 + 16 % 7));
  CHECK(cublaslt->version() == fmt::format("13.10.0 ({})", SS_FAKE_CUBLASLT));
  auto hipblaslt = std::move(vendor("hipblaslt").open({SS_FAKE_HIPBLASLT})).value();
  CHECK(hipblaslt->plan(product).value()->algorithm() == "solution4711");
  CHECK(hipblaslt->version() == fmt::format("0.11.0 ({})", SS_FAKE_HIPBLASLT));
}

TEST_CASE("what a library cannot multiply it says at once") {
  const char* const name = GENERATE("cublaslt", "hipblaslt");
  auto library = std::move(vendor(name).open({vendor(name).file})).value();
  // int8 matrices need multiples of four.
  CHECK_ERROR(library->plan({.type = ProductType::kInt8, .n_rows = 8, .n_cols = 6, .n_inner = 32}),
              ErrorCode::kUnsupported, std::string(name) + ": 8 x 6 x 32: ");
  const EnvironmentVariable none("SS_FAKE_BLAS_LT", "no-algorithm");
  CHECK_ERROR(library->plan({.type = ProductType::kBf16, .n_rows = 8, .n_cols = 8, .n_inner = 32}),
              ErrorCode::kUnsupported, std::string(name) + ": 8 x 8 x 32: there is no algorithm for it");
}

TEST_CASE("a library that is not there, finds no device or is too old is a sentence") {
  CHECK_ERROR(cuda::open_cublaslt({"libcublasLt.so.0"}), ErrorCode::kUnavailable, "libcublasLt.so.0 not found");
  CHECK(cuda::cublaslt_names(13) == std::vector<std::string>{"libcublasLt.so.13"});
  {
    const EnvironmentVariable none("SS_FAKE_BLAS_LT", "no-device");
    CHECK_ERROR(cuda::open_cublaslt({SS_FAKE_CUBLASLT}), ErrorCode::kUnavailable,
                "cublasLtCreate: the library was not initialized");
    CHECK_ERROR(hip::open_hipblaslt({SS_FAKE_HIPBLASLT}), ErrorCode::kUnavailable, "hipblasLtCreate: not initialized");
  }
  const EnvironmentVariable old("SS_FAKE_BLAS_LT", "old");
  CHECK_ERROR(hip::open_hipblaslt({SS_FAKE_HIPBLASLT}), ErrorCode::kUnavailable,
              "is hipBLASLt 0.5.0: expected 0.6 or newer");
}

TEST_CASE("the options say who multiplies, and a library that was asked for has to be there") {
  const auto opened = [](std::vector<std::pair<std::string, std::string>> settings, bool is_there) {
    GpuOptions options;
    for (const auto& [key, value] : settings) REQUIRE(read_option(key, value, options).value());
    auto done = open_library(options, [&](const std::string& file) -> Result<std::shared_ptr<LibraryMatmul>> {
      if (!is_there) return Error{ErrorCode::kUnavailable, "libx.so not found"};
      return vendor("cublaslt").open({file.empty() ? SS_FAKE_CUBLASLT : file});
    });
    return std::pair(std::move(done), std::move(options));
  };
  CHECK(opened({}, true).second.vendor_library != nullptr);
  CHECK(opened({{"matmul", "library"}}, true).second.vendor_library != nullptr);
  CHECK(opened({{"matmul", "own"}}, true).second.vendor_library == nullptr);
  CHECK(opened({}, false).second.vendor_library_missing == "libx.so not found");
  CHECK_ERROR(opened({{"matmul", "library"}}, false).first, ErrorCode::kUnavailable,
              "matmul=library: libx.so not found");
  CHECK_ERROR(opened({{"matmul_library", "/nowhere.so"}}, true).first, ErrorCode::kUnavailable,
              "matmul=library: /nowhere.so not found");
  GpuOptions options;
  CHECK_ERROR(read_option("matmul", "mine", options), ErrorCode::kInvalidInput,
              "option matmul: expected own or library, found mine");
  CHECK_FALSE(read_option("tempo", "1", options).value());
}
