#include "fault/fault.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "backend/op.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

struct NamedKind {
  std::string_view name;
  FaultKind kind;
};

constexpr std::array kKinds = {NamedKind{"fail", FaultKind::kFail},
                               NamedKind{"crash", FaultKind::kCrash},
                               NamedKind{"abort", FaultKind::kAbort},
                               NamedKind{"hang", FaultKind::kHang},
                               NamedKind{"stall", FaultKind::kStall},
                               NamedKind{"oom", FaultKind::kOutOfMemory},
                               NamedKind{"oom-kv", FaultKind::kOutOfMemoryKv},
                               NamedKind{"eat-memory", FaultKind::kEatMemory},
                               NamedKind{"garbage", FaultKind::kGarbage},
                               NamedKind{"slow", FaultKind::kSlow}};

constexpr std::int64_t kDefaultSlowPercent = 50;

/// Removes the text up to the next colon from `rest` and returns it.
std::string_view take_field(std::string_view& rest) {
  const std::size_t end = rest.find(':');
  const std::string_view field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  return field;
}

}  // namespace

Result<FaultSpec> parse_fault(std::string_view text) {
  const auto bad = [&](std::string why) {
    return Error{ErrorCode::kInvalidInput, fmt::format("fault {}: {}", in_quotes(text), why)};
  };
  std::string_view rest = text;
  const std::string_view name = take_field(rest);
  const auto* const found = std::ranges::find(kKinds, name, &NamedKind::name);
  if (found == kKinds.end()) {
    std::string names;
    for (const NamedKind& kind : kKinds) names += fmt::format("{}{}", names.empty() ? "" : ", ", kind.name);
    return bad(fmt::format("expected one of {}", names));
  }
  FaultSpec spec{.kind = found->kind, .argument = 1, .operation = "", .text = std::string(text)};
  if (spec.kind == FaultKind::kSlow) spec.argument = kDefaultSlowPercent;
  if (const std::string_view number = take_field(rest); !number.empty()) {
    if (!read_number(number, spec.argument) || spec.argument < 1 || spec.argument > 1'000'000'000) {
      return bad(fmt::format("expected a number from 1, found {}", in_quotes(number)));
    }
  }
  if (!rest.empty()) {
    if (spec.kind != FaultKind::kSlow) return bad("only slow takes an operation");
    if (!is_op_name(rest)) return bad(fmt::format("{} is not an operation", in_quotes(rest)));
    spec.operation = std::string(rest);
  }
  return spec;
}

std::string planted_fault_note(std::string_view backend, std::string_view fault) {
  return fmt::format("{}: a fault was planted on purpose: {}", backend, fault);
}

}  // namespace secondsource
