#pragma once
// Lists the fields of a plain struct once, so that readers, writers and schemas can walk over them:
//
//   struct Slo { std::string name; double ttft_ms = 0; };
//   SS_FIELDS(Slo, name, ttft_ms)
//
//   visit_fields(visitor, slo);   // calls visitor("name", slo.name), then visitor("ttft_ms", slo.ttft_ms)
//
// A field that a published format got after its first release is also named in a second list. Files from before it lack
// the field, and it then keeps its default:
//
//   SS_ADDED_FIELDS(Slo, ttft_ms)
//
// A const struct is visited through const references. Write the list directly below the struct, in its namespace.

#include <concepts>
#include <string_view>
#include <type_traits>

// Applies SS_FIELD_VISIT to each argument by rescanning (C++20's __VA_OPT__); works for up to about 250 fields.
#define SS_FIELD_PARENTHESES ()
#define SS_FIELD_RESCAN(...) SS_FIELD_RESCAN_3(SS_FIELD_RESCAN_3(SS_FIELD_RESCAN_3(SS_FIELD_RESCAN_3(__VA_ARGS__))))
#define SS_FIELD_RESCAN_3(...) SS_FIELD_RESCAN_2(SS_FIELD_RESCAN_2(SS_FIELD_RESCAN_2(SS_FIELD_RESCAN_2(__VA_ARGS__))))
#define SS_FIELD_RESCAN_2(...) SS_FIELD_RESCAN_1(SS_FIELD_RESCAN_1(SS_FIELD_RESCAN_1(SS_FIELD_RESCAN_1(__VA_ARGS__))))
#define SS_FIELD_RESCAN_1(...) SS_FIELD_RESCAN_0(SS_FIELD_RESCAN_0(SS_FIELD_RESCAN_0(SS_FIELD_RESCAN_0(__VA_ARGS__))))
#define SS_FIELD_RESCAN_0(...) __VA_ARGS__
#define SS_FIELD_VISIT(name, ...) \
  visit(#name, record.name);      \
  __VA_OPT__(SS_FIELD_NEXT SS_FIELD_PARENTHESES(__VA_ARGS__))
#define SS_FIELD_NEXT() SS_FIELD_VISIT

#define SS_FIELDS(Type, ...)                                                                       \
  template <typename Visitor, typename Record>                                                     \
  requires std::same_as<std::remove_const_t<Record>, Type>                                         \
  constexpr void visit_fields([[maybe_unused]] Visitor&& visit, [[maybe_unused]] Record& record) { \
    __VA_OPT__(SS_FIELD_RESCAN(SS_FIELD_VISIT(__VA_ARGS__)))                                       \
  }

// Applies SS_FIELD_NAME to each argument.
#define SS_FIELD_NAME(name, ...)   \
  if (field == #name) return true; \
  __VA_OPT__(SS_FIELD_NAME_NEXT SS_FIELD_PARENTHESES(__VA_ARGS__))
#define SS_FIELD_NAME_NEXT() SS_FIELD_NAME

#define SS_ADDED_FIELDS(Type, ...)                                                  \
  constexpr bool is_added_field(std::type_identity<Type>, std::string_view field) { \
    SS_FIELD_RESCAN(SS_FIELD_NAME(__VA_ARGS__))                                     \
    return false;                                                                   \
  }

namespace secondsource {

namespace detail {
struct IgnoreField {
  template <typename T>
  constexpr void operator()(const char*, T&) const {}
};
}  // namespace detail

/// A struct whose fields are listed by SS_FIELDS.
template <typename T>
concept HasFields = requires(T& record) {
  visit_fields(detail::IgnoreField{}, record);
};

/// True if SS_ADDED_FIELDS names this field of T.
template <typename T>
[[nodiscard]] constexpr bool was_added(std::string_view field) {
  if constexpr (requires { is_added_field(std::type_identity<T>(), field); }) {
    return is_added_field(std::type_identity<T>(), field);
  }
  return false;
}

}  // namespace secondsource
