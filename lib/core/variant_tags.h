#pragma once
// The tag in a file that states which alternative of a std::variant an object is:
//
//   using Shape = std::variant<Circle, Square>;
//   SS_VARIANT_TAGS(Shape, "kind", "circle", "square")    // {"kind": "circle", ...the fields of Circle}
//
// The names are given in the order of the alternatives.

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>

namespace secondsource {

template <std::size_t kCount>
struct VariantTags {
  std::string_view key;
  std::array<std::string_view, kCount> names;
};

#define SS_VARIANT_TAGS(Variant, key, ...)                                \
  constexpr auto tags_of(std::type_identity<Variant>) {                   \
    return VariantTags<std::variant_size_v<Variant>>{key, {__VA_ARGS__}}; \
  }

template <typename T>
concept TaggedVariant = requires {
  tags_of(std::type_identity<T>());
};

}  // namespace secondsource
