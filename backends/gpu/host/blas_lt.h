#pragma once
// cuBLASLt and hipBLASLt have the same functions under different prefixes and with different enumeration values. This is
// the code for both, over a Vendor type with the names and values (cuda/cublaslt.cpp, hip/hipblaslt.cpp).
//
// The libraries use column-major matrices. A row-major [rows, columns] is a column-major [columns, rows] of the same
// bytes, so sums = x W^T becomes sums^T [n_cols, n_rows] = op(A) op(B) with A = W^T as stored, [n_inner, n_cols],
// transposed, and B = x^T, [n_inner, n_rows], not transposed: the only form that their int8 products support.

#include <fmt/format.h>

#include <map>

#include "core/shared_library.h"
#include "gpu/host/library_matmul.h"

namespace secondsource::gpu {

/// Opaque object of the library; each kind has its own destroy function.
using LtObject = void*;

/// Data types with the same values in both libraries (cudaDataType, hipDataType).
enum class LtType : int { kF32 = 0, kF16 = 2, kInt8 = 3, kInt32 = 10, kBf16 = 14 };

/// Owns an object of the library.
template <const CFunction<LtObject>& kDestroy>
class LtOwner {
 public:
  explicit LtOwner(const SharedLibrary& library) : library_(library) {}
  ~LtOwner() {
    if (object_ != nullptr) (void)library_.call(kDestroy, object_);
  }
  LtOwner(const LtOwner&) = delete;
  LtOwner& operator=(const LtOwner&) = delete;
  [[nodiscard]] LtObject get() const { return object_; }
  LtObject* out() { return &object_; }

 private:
  const SharedLibrary& library_;
  LtObject object_ = nullptr;
};

/// The library with a handle for the current device.
template <typename Vendor>
class LtLibrary {
 public:
  explicit LtLibrary(SharedLibrary opened) : library(std::move(opened)), handle(library) {}
  SharedLibrary library;
  LtOwner<Vendor::kDestroy> handle;
};

template <typename Vendor>
class LtPlan final : public LibraryPlan, public std::enable_shared_from_this<LtPlan<Vendor>> {
 public:
  explicit LtPlan(std::shared_ptr<const LtLibrary<Vendor>> lt)
      : lt_(std::move(lt)), multiply_(lt_->library), weight_(lt_->library), x_(lt_->library), sums_(lt_->library) {}

  Result<void> prepare(const LibraryProduct& product) {
    const SharedLibrary& library = lt_->library;
    const bool is_int8 = product.type == ProductType::kInt8;
    const LtType type = is_int8 ? LtType::kInt8 : product.type == ProductType::kF16 ? LtType::kF16 : LtType::kBf16;
    const LtType sum_type = is_int8 ? LtType::kInt32 : LtType::kF32;
    product_ = product;
    if (is_int8) {
      factor_.integer = 1;
      added_factor_.integer = 0;
    } else {
      factor_.real = 1.0F;
      added_factor_.real = product.adds ? 1.0F : 0.0F;
    }
    SS_TRY_VOID(library.call(Vendor::kMultiplyCreate, multiply_.out(),
                             is_int8 ? Vendor::kComputeInt32 : Vendor::kComputeF32, static_cast<int>(sum_type)));
    const auto transpose = [&](int which, int how) {
      return library.call(Vendor::kMultiplySet, multiply_.get(), which, &how, sizeof how);
    };
    SS_TRY_VOID(transpose(Vendor::kTransposeA, Vendor::kTransposed));
    SS_TRY_VOID(transpose(Vendor::kTransposeB, Vendor::kAsItIs));
    const auto layout = [&](auto& owner, LtType of, std::int32_t rows, std::int32_t cols) {
      return library.call(Vendor::kLayoutCreate, owner.out(), static_cast<int>(of), static_cast<std::uint64_t>(rows),
                          static_cast<std::uint64_t>(cols), std::int64_t{rows});
    };
    SS_TRY_VOID(layout(weight_, type, product.n_inner, product.n_cols));
    SS_TRY_VOID(layout(x_, type, product.n_inner, product.n_rows));
    SS_TRY_VOID(layout(sums_, sum_type, product.n_cols, product.n_rows));
    return choose();
  }

  [[nodiscard]] std::size_t workspace_bytes() const override { return choice_.workspace_bytes; }
  [[nodiscard]] const std::string& algorithm() const override { return algorithm_; }

  Result<void> launch(Stream& stream, const LibraryOperands& operands) const override {
    LibraryOperands all = operands;
    if (!product_.adds) all.added = all.sums;  // not read, but must not be null
    const std::size_t value_bytes = product_.type == ProductType::kInt8 ? 1 : 2;
    const auto matrix = [](const void* values, std::int32_t rows, std::int32_t cols, std::size_t each) {
      return std::span(static_cast<const std::byte*>(values),
                       static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) * each);
    };
    return stream.call(
        {.name = Vendor::kMatmul.name,
         .enqueue = [plan = this->shared_from_this(), all](void* native) -> Result<void> {
           return plan->enqueue(all, native);
         },
         .addresses = {all.x, all.weight, all.added, all.sums, all.workspace},
         .reads = {matrix(all.x, product_.n_rows, product_.n_inner, value_bytes),
                   matrix(all.weight, product_.n_cols, product_.n_inner, value_bytes),
                   matrix(all.added, product_.adds ? product_.n_rows : 0, product_.n_cols, sizeof(float))}});
  }

 private:
  /// alpha or beta: int32 for int8 products, else f32.
  union Factor {
    float real;
    std::int32_t integer;
  };
  /// NVIDIA's recommendation for its largest GPUs.
  static constexpr std::size_t kMostWorkspaceBytes = std::size_t{32} << 20;

  Result<void> choose() {
    const SharedLibrary& library = lt_->library;
    LtOwner<Vendor::kPreferenceDestroy> preference(library);
    SS_TRY_VOID(library.call(Vendor::kPreferenceCreate, preference.out()));
    const std::uint64_t most_bytes = kMostWorkspaceBytes;
    SS_TRY_VOID(library.call(Vendor::kPreferenceSet, preference.get(), Vendor::kPreferWorkspace, &most_bytes,
                             sizeof most_bytes));
    int n_found = 0;
    SS_TRY_VOID(library.call(Vendor::kHeuristic, lt_->handle.get(), multiply_.get(), weight_.get(), x_.get(),
                             sums_.get(), sums_.get(), preference.get(), 1, &choice_, &n_found));
    if (n_found < 1 || choice_.status != 0 || choice_.workspace_bytes > kMostWorkspaceBytes) {
      return Error{ErrorCode::kUnsupported, "there is no algorithm for it"};
    }
    algorithm_ = Vendor::describe(library, choice_);
    return {};
  }

  Result<void> enqueue(const LibraryOperands& operands, void* stream) const {
    const auto done =
        lt_->library.call(Vendor::kMatmul, lt_->handle.get(), multiply_.get(), &factor_, operands.weight, weight_.get(),
                          operands.x, x_.get(), &added_factor_, operands.added, sums_.get(), operands.sums, sums_.get(),
                          &choice_.algorithm, operands.workspace, choice_.workspace_bytes, stream);
    if (!done) return Error{ErrorCode::kDeviceLost, done.error().message};
    return {};
  }

  std::shared_ptr<const LtLibrary<Vendor>> lt_;
  LibraryProduct product_;
  Factor factor_{};
  Factor added_factor_{};
  LtOwner<Vendor::kMultiplyDestroy> multiply_;
  LtOwner<Vendor::kLayoutDestroy> weight_, x_, sums_;
  typename Vendor::Choice choice_{};
  std::string algorithm_;
};

template <typename Vendor>
class LtMatmul final : public LibraryMatmul {
 public:
  /// Opens the library with a handle for the current device. Errors: kUnavailable if the library is absent or too old, or
  /// finds no device.
  static Result<std::shared_ptr<LibraryMatmul>> open(const std::vector<std::string>& names) {
    SS_TRY(SharedLibrary library, SharedLibrary::open(names, Vendor::describe_status));
    auto lt = std::make_shared<LtLibrary<Vendor>>(std::move(library));
    SS_TRY_VOID(lt->library.call(Vendor::kCreate, lt->handle.out()));
    SS_TRY(const std::string version, Vendor::version(lt->library, lt->handle.get()));
    auto matmul = std::make_shared<LtMatmul>();
    matmul->version_ = fmt::format("{} ({})", version, lt->library.name());
    matmul->lt_ = std::move(lt);
    return std::shared_ptr<LibraryMatmul>(std::move(matmul));
  }

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] const std::string& version() const override { return version_; }

  Result<std::shared_ptr<const LibraryPlan>> plan(const LibraryProduct& product) override {
    std::shared_ptr<const LibraryPlan>& known = plans_[product];
    if (known) return known;
    auto made = std::make_shared<LtPlan<Vendor>>(lt_);
    if (const auto prepared = made->prepare(product); !prepared) {
      return Error{ErrorCode::kUnsupported, fmt::format("{}: {} x {} x {}: {}", name_, product.n_rows, product.n_cols,
                                                        product.n_inner, prepared.error().message)};
    }
    known = std::move(made);
    return known;
  }

 private:
  std::string name_ = Vendor::kName;
  std::string version_;
  std::shared_ptr<const LtLibrary<Vendor>> lt_;
  std::map<LibraryProduct, std::shared_ptr<const LibraryPlan>> plans_;
};

}  // namespace secondsource::gpu
