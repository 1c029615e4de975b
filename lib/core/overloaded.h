#pragma once
// Combines several handlers into one, for std::visit: Overloaded{[](const A&) {...}, [](const B&) {...}}. Unless a
// handler accepts every type, code does not compile until it handles a new alternative of the variant.

namespace secondsource {

template <typename... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};

// Clang 14 does not deduce the arguments of an aggregate by itself.
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace secondsource
