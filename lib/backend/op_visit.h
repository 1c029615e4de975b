#pragma once
// Branching over operations such that a new operation does not compile until every branch handles it.
//
//   return visit_op(
//       op, [](const Matmul& matmul) { return supports_act(matmul.act); },
//       [](const OneOf<Embed, RmsNorm, ...> auto&) { return Support::yes(); });

#include <concepts>
#include <type_traits>
#include <utility>
#include <variant>

#include "backend/op.h"
#include "core/overloaded.h"

namespace secondsource {

/// T is one of the operations that are listed. For a handler of several operations.
template <typename T, typename... Ops>
concept OneOf = (std::same_as<T, Ops> || ...);

/// Calls the handler of the operation's own type and returns its result. Compiles only if every alternative of Op has a
/// handler, and if no handler accepts a type that is not listed, because such a handler would silently accept a new
/// operation.
template <typename... Handlers>
decltype(auto) visit_op(const Op& op, Handlers&&... handlers) {
  using All = Overloaded<std::remove_cvref_t<Handlers>...>;
  struct NewOperation {};
  static_assert(!std::invocable<All&, const NewOperation&>, "a handler that takes every type");
  return std::visit(All{std::forward<Handlers>(handlers)...}, op);
}

}  // namespace secondsource
