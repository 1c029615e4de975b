#pragma once
// One handler from several, for std::visit: Overloaded{[](const A&) {...}, [](const B&) {...}}. Without a handler that
// takes every type, a new alternative of the variant does not compile until it is answered for.

namespace secondsource {

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

// Clang 14 does not deduce the arguments of an aggregate by itself.
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace secondsource
