#include "jinja/runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"

namespace secondsource::jinja {
namespace {

int depth_of(const Value& value) {
  if (const Sequence* sequence = as_sequence(value)) return sequence->depth;
  const Dict* dict = as_dict(value);
  return dict == nullptr ? 0 : dict->depth;
}

}  // namespace

bool Runtime::spend(std::int64_t n) {
  n_steps_ += n;
  if (n_steps_ > limits_.steps) reach(Limit::kSteps);
  return reached_ == Limit::kNone;
}

bool Runtime::can_hold(std::size_t n_bytes) {
  const auto room = static_cast<std::uint64_t>(std::max<std::int64_t>(0, limits_.memory_bytes - meter_.live_bytes));
  if (n_bytes > room) reach(Limit::kMemory);
  return reached_ == Limit::kNone;
}

Result<void> Runtime::check() const {
  switch (reached_) {
    case Limit::kNone:
      if (meter_.live_bytes <= limits_.memory_bytes) return {};
      [[fallthrough]];
    case Limit::kMemory:
      return fail(fmt::format("expected at most {} MiB of values and text", limits_.memory_bytes >> 20));
    case Limit::kSteps:
      return fail(fmt::format("expected at most {} steps, as a loop without end would need more", limits_.steps));
    case Limit::kDepth:
      return fail(
          fmt::format("expected at most {} levels of nesting, as a macro that calls itself without end would need "
                      "more",
                      limits_.depth));
    case Limit::kValueDepth:
      return fail(fmt::format("expected lists and dictionaries at most {} levels deep", kMaxValueDepth));
  }
  return {};
}

Error Runtime::fail(std::string_view message) const {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: line {}: {}", template_name_, line_, shown(message, 400))};
}

Value Runtime::undefined(std::string hint) {
  struct Hint : Object {
    std::string text;
  };
  auto owner = std::make_unique<Hint>();
  owner->text = std::move(hint);
  const std::size_t n_bytes = owner->text.size();
  return Undefined{&own(std::move(owner), n_bytes)->text};
}

Value Runtime::sequence(SequenceKind kind, std::vector<Value> items) {
  auto owner = std::make_unique<Sequence>();
  owner->kind = kind;
  owner->items = std::move(items);
  for (const Value& item : owner->items) owner->depth = std::max(owner->depth, depth_of(item) + 1);
  if (owner->depth > kMaxValueDepth) reach(Limit::kValueDepth);
  const std::size_t n_bytes = owner->items.size() * sizeof(Value);
  spend(static_cast<std::int64_t>(owner->items.size() / 8));
  return own(std::move(owner), n_bytes);
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  auto owner = std::make_unique<Dict>();
  owner->entries = std::move(entries);
  for (const auto& [key, value] : owner->entries) {
    owner->depth = std::max({owner->depth, depth_of(key) + 1, depth_of(value) + 1});
  }
  if (owner->depth > kMaxValueDepth) reach(Limit::kValueDepth);
  const std::size_t n_bytes = owner->entries.size() * sizeof(owner->entries[0]);
  return own(std::move(owner), n_bytes);
}

Value Runtime::callable(std::string name, std::function<Result<Value>(Runtime&, Arguments)> call) {
  auto owner = std::make_unique<Callable>();
  owner->name = std::move(name);
  owner->call = std::move(call);
  return own(std::move(owner), 64);
}

}  // namespace secondsource::jinja
