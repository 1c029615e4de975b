#pragma once
// The state of one rendering: its objects, counts of its steps and bytes, and the current line. Operations count steps,
// and continue with an empty result once a limit is reached. The interpreter calls check() at every statement and
// expression, which reports the error, so that operations themselves need no error path for it.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "jinja/limits.h"
#include "jinja/value.h"

namespace secondsource::jinja {

class Runtime {
 public:
  Runtime(const Limits& limits, std::string_view template_name) : limits_(limits), template_name_(template_name) {}

  /// Counts `n` steps; false once a limit is reached.
  bool spend(std::int64_t n = 1);
  /// Counts the work on a text of `n_bytes`.
  bool spend_bytes(std::size_t n_bytes) { return spend(1 + static_cast<std::int64_t>(n_bytes / 64)); }
  /// True if a text of `n_bytes` more would be within the limit; otherwise the limit counts as reached.
  bool can_hold(std::size_t n_bytes);
  [[nodiscard]] bool is_within_limits() const { return reached_ == Limit::kNone; }
  /// Errors: kInvalidInput if a limit was reached.
  Result<void> check() const;

  /// An error at the current line: "TEMPLATE: line 3: MESSAGE".
  [[nodiscard]] Error fail(std::string_view message) const;
  void at_line(int line) { line_ = line; }
  [[nodiscard]] int line() const { return line_; }

  [[nodiscard]] Value text(std::string bytes) { return Text(std::move(bytes), &meter_); }
  [[nodiscard]] Value undefined(std::string hint);
  [[nodiscard]] Value sequence(SequenceKind kind, std::vector<Value> items);
  [[nodiscard]] Value list(std::vector<Value> items) { return sequence(SequenceKind::kList, std::move(items)); }
  [[nodiscard]] Value tuple(std::vector<Value> items) { return sequence(SequenceKind::kTuple, std::move(items)); }
  [[nodiscard]] Value iterator(std::vector<Value> items) { return sequence(SequenceKind::kIterator, std::move(items)); }
  [[nodiscard]] Value dict(std::vector<std::pair<Value, Value>> entries);
  [[nodiscard]] Value callable(std::string name, std::function<Result<Value>(Runtime&, Arguments)> call);

  /// Keeps an object until the end of the rendering.
  template <typename T>
  T* own(std::unique_ptr<T> object, std::size_t n_bytes = 0) {
    T* result = object.get();
    objects_.push_back(std::move(object));
    meter_.live_bytes += static_cast<std::int64_t>(sizeof(T) + n_bytes);
    if (meter_.live_bytes > limits_.memory_bytes) reach(Limit::kMemory);
    return result;
  }

  /// One level of nesting while the object lives.
  class Level {
   public:
    explicit Level(Runtime& runtime) : runtime_(runtime) {
      if (++runtime_.depth_ > runtime_.limits_.depth) runtime_.reach(Limit::kDepth);
    }
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

 private:
  enum class Limit : std::uint8_t { kNone, kSteps, kMemory, kDepth, kValueDepth };
  void reach(Limit limit) {
    if (reached_ == Limit::kNone) reached_ = limit;
  }

  Limits limits_;
  std::string template_name_;
  Meter meter_;  ///< outlives the texts in objects_
  std::vector<std::unique_ptr<Object>> objects_;
  std::int64_t n_steps_ = 0;
  int depth_ = 0;
  int line_ = 1;
  Limit reached_ = Limit::kNone;
};

/// Writes a text piece by piece within the limits of a rendering.
class TextBuilder {
 public:
  explicit TextBuilder(Runtime& runtime) : runtime_(runtime) {}
  void add(std::string_view piece) {
    if (runtime_.spend_bytes(piece.size()) && runtime_.can_hold(bytes_.size() + piece.size())) bytes_.append(piece);
  }
  /// False once a limit is reached. Further text is dropped, so code that writes a nested value should stop.
  [[nodiscard]] bool is_open() const { return runtime_.is_within_limits(); }
  [[nodiscard]] std::size_t size() const { return bytes_.size(); }
  [[nodiscard]] Value text() { return runtime_.text(std::move(bytes_)); }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  Runtime& runtime_;
  std::string bytes_;
};

}  // namespace secondsource::jinja
