#include "core/fields.h"

#include <string>
#include <variant>
#include <vector>

#include "core/enum_names.h"
#include "core/number.h"
#include "core/variant_tags.h"
#include "support/catch.h"

namespace secondsource {
namespace {

enum class Colour : unsigned char { kRed, kGreen };
SS_ENUM_NAMES(Colour, "red", "green")

struct Empty {};
SS_FIELDS(Empty)

struct Point {
  int x = 1;
  double y = 2;
  std::string name = "p";
};
SS_FIELDS(Point, x, y, name)

/// Records the names, and whether the fields were passed as const.
struct Notes {
  std::vector<std::string> names;
  bool all_const = true;
  template <typename T>
  void operator()(const char* name, T&) {
    names.emplace_back(name);
    all_const = all_const && std::is_const_v<T>;
  }
};

TEST_CASE("the fields of a struct are visited by name, in order, and as const where the struct is") {
  Notes notes;
  Point point;
  visit_fields(notes, point);
  CHECK(notes.names == std::vector<std::string>{"x", "y", "name"});
  CHECK_FALSE(notes.all_const);
  Notes of_const;
  visit_fields(of_const, static_cast<const Point&>(point));
  CHECK(of_const.all_const);
  Notes of_empty;
  Empty empty;
  visit_fields(of_empty, empty);
  CHECK(of_empty.names.empty());
  STATIC_REQUIRE(HasFields<Point>);
  STATIC_REQUIRE(HasFields<const Point>);
  STATIC_REQUIRE(HasFields<Empty>);
  STATIC_REQUIRE_FALSE(HasFields<std::string>);
  STATIC_REQUIRE_FALSE(HasFields<Colour>);
}

TEST_CASE("an enum's values have names both ways, and a number that is no value has none") {
  CHECK(to_string(Colour::kGreen) == "green");
  CHECK(to_string(static_cast<Colour>(7)).empty());
  CHECK(enum_from_name<Colour>("red") == Colour::kRed);
  CHECK_FALSE(enum_from_name<Colour>("blue"));
  CHECK_FALSE(enum_from_name<Colour>(""));
}

TEST_CASE("a number is the whole text or nothing") {
  CHECK(parse_number<int>("42") == 42);
  CHECK(parse_number<int>("-3") == -3);
  CHECK(parse_number<double>("2.5e3") == 2500.0);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "0x10", "99999999999"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_number<int>(text));
  }
  int kept = 5;
  CHECK_FALSE(read_number("six", kept));
  CHECK(kept == 5);
  CHECK(read_number("6", kept));
  CHECK(kept == 6);
}

struct Grown {
  int x = 1;
  int added = 2;
};
SS_FIELDS(Grown, x, added)
SS_ADDED_FIELDS(Grown, added)

TEST_CASE("the fields that a format got later are known by name") {
  STATIC_REQUIRE(was_added<Grown>("added"));
  STATIC_REQUIRE_FALSE(was_added<Grown>("x"));
  STATIC_REQUIRE_FALSE(was_added<Point>("x"));
}

}  // namespace
}  // namespace secondsource
