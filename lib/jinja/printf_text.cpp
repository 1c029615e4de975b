#include "jinja/printf_text.h"

#include <fmt/format.h>

#include <cmath>

#include "core/number.h"
#include "core/utf8.h"
#include "jinja/operators.h"
#include "jinja/python_text.h"

namespace secondsource::jinja {
namespace {

/// One "%...": flags, width, precision and letter.
struct Conversion {
  bool left = false;
  bool zeros = false;
  bool plus = false;
  bool space = false;
  bool alternate = false;
  std::int64_t width = 0;
  std::optional<std::int64_t> precision;
  char letter = 0;
};

constexpr std::int64_t kMaxWidth = 10'000;

class Printf {
 public:
  Printf(Runtime& runtime, std::string_view format, const Value& values)
      : runtime_(runtime), format_(format), values_(values), out_(runtime) {
    const Sequence* sequence = as_sequence(values);
    if (sequence != nullptr && sequence->kind == SequenceKind::kTuple) tuple_ = sequence;
  }

  Result<Value> run() {
    while (at_ < format_.size()) {
      const std::size_t percent = std::min(format_.find('%', at_), format_.size());
      out_.add(format_.substr(at_, percent - at_));
      at_ = percent + 1;
      if (percent == format_.size()) break;
      SS_TRY_VOID(convert());
    }
    // Python accepts an unused value if it is a container other than a tuple or a text.
    const bool may_be_left = as_dict(values_) != nullptr || is_undefined(values_) || as_sequence(values_) != tuple_;
    const bool uses_all = tuple_ != nullptr ? n_used_ == tuple_->items.size() : n_used_ > 0 || may_be_left;
    if (!uses_all) {
      return runtime_.fail("%: expected as many values as the format has places, found more");
    }
    return out_.text();
  }

 private:
  [[nodiscard]] char now() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  Result<std::int64_t> number() {
    std::int64_t result = 0;
    for (; now() >= '0' && now() <= '9'; ++at_) {
      result = std::min<std::int64_t>(result * 10 + (now() - '0'), kMaxWidth + 1);
    }
    if (result > kMaxWidth) return runtime_.fail(fmt::format("%: expected a width of at most {}", kMaxWidth));
    return result;
  }

  Result<Value> value() {
    if (tuple_ == nullptr) {
      if (n_used_++ == 0) return values_;
    } else if (n_used_ < tuple_->items.size()) {
      return tuple_->items[n_used_++];
    }
    return runtime_.fail("%: expected as many values as the format has places, found fewer");
  }

  Result<void> convert() {
    if (now() == '%') {
      out_.add("%");
      ++at_;
      return {};
    }
    std::optional<Value> named;
    if (now() == '(') {
      const std::size_t end = format_.find(')', at_);
      const Dict* dict = as_dict(values_);
      if (end == std::string_view::npos || dict == nullptr) return runtime_.fail("%: expected a dict for %(name)s");
      const std::string key(format_.substr(at_ + 1, end - at_ - 1));
      const Value* found = find_key(runtime_, *dict, runtime_.text(key));
      if (found == nullptr) return runtime_.fail(fmt::format("%: expected the key {}, found none", in_quotes(key)));
      named = *found;
      at_ = end + 1;
    }
    Conversion conversion;
    for (;; ++at_) {
      if (now() == '-') {
        conversion.left = true;
      } else if (now() == '0') {
        conversion.zeros = true;
      } else if (now() == '+') {
        conversion.plus = true;
      } else if (now() == ' ') {
        conversion.space = true;
      } else if (now() == '#') {
        conversion.alternate = true;
      } else {
        break;
      }
    }
    SS_TRY(conversion.width, number());
    if (now() == '.') {
      ++at_;
      SS_TRY(conversion.precision, number());
    }
    conversion.letter = now();
    ++at_;
    if (conversion.letter == '%') {
      out_.add("%");
      return {};
    }
    Value argument = None{};
    if (named) {
      argument = *named;
    } else {
      SS_TRY(argument, value());
    }
    return write(conversion, argument);
  }

  Result<void> write(const Conversion& conversion, const Value& argument) {
    switch (conversion.letter) {
      case 's':
        return pad_text(conversion, to_text(runtime_, argument));
      case 'r':
      case 'a': {
        TextBuilder repr(runtime_);
        add_repr(repr, argument);
        return pad_text(conversion, std::get<Text>(repr.text()));
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return write_integer(conversion, argument);
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        return write_float(conversion, argument);
      default:
        return runtime_.fail(fmt::format("%: expected a conversion (s, d, f, ...), found {}",
                                         in_quotes(std::string_view(&conversion.letter, 1))));
    }
  }

  Result<void> pad_text(const Conversion& conversion, const Text& text) {
    const std::int64_t n = std::min(conversion.precision.value_or(text.n_characters()), text.n_characters());
    const std::string spaces(static_cast<std::size_t>(std::max<std::int64_t>(0, conversion.width - n)), ' ');
    if (!conversion.left) out_.add(spaces);
    out_.add(characters(text, 0, n));
    if (conversion.left) out_.add(spaces);
    return {};
  }

  void pad_number(const Conversion& conversion, bool is_negative, std::string_view prefix, std::string digits) {
    const std::string sign = is_negative ? "-" : conversion.plus ? "+" : conversion.space ? " " : "";
    const std::int64_t n_missing =
        conversion.width - static_cast<std::int64_t>(sign.size() + prefix.size() + digits.size());
    const std::string fill(static_cast<std::size_t>(std::max<std::int64_t>(0, n_missing)),
                           conversion.zeros && !conversion.left ? '0' : ' ');
    const bool fills_inside = conversion.zeros && !conversion.left;
    if (!conversion.left && !fills_inside) out_.add(fill);
    out_.add(sign);
    out_.add(prefix);
    if (fills_inside) out_.add(fill);
    out_.add(digits);
    if (conversion.left) out_.add(fill);
  }

  Result<void> write_integer(const Conversion& conversion, const Value& argument) {
    std::optional<std::int64_t> integer = as_integer(argument);
    const bool is_decimal = conversion.letter == 'd' || conversion.letter == 'i' || conversion.letter == 'u';
    if (const double* number = as<double>(argument); number != nullptr && is_decimal && std::abs(*number) < 9e18) {
      integer = static_cast<std::int64_t>(*number);
    }
    if (!integer) {
      return runtime_.fail(
          fmt::format("%{}: expected a whole number, found {}", conversion.letter, type_name(argument)));
    }
    const std::uint64_t magnitude =
        *integer < 0 ? 0 - static_cast<std::uint64_t>(*integer) : static_cast<std::uint64_t>(*integer);
    std::string digits = conversion.letter == 'x'   ? fmt::format("{:x}", magnitude)
                         : conversion.letter == 'X' ? fmt::format("{:X}", magnitude)
                         : conversion.letter == 'o' ? fmt::format("{:o}", magnitude)
                                                    : fmt::format("{}", magnitude);
    const auto precision = static_cast<std::size_t>(conversion.precision.value_or(0));
    if (digits.size() < precision) digits.insert(0, precision - digits.size(), '0');
    const std::string prefix =
        conversion.alternate && !is_decimal ? std::string("0") + conversion.letter : std::string();
    pad_number(conversion, *integer < 0, prefix, std::move(digits));
    return {};
  }

  Result<void> write_float(const Conversion& conversion, const Value& argument) {
    const std::optional<double> number = as_number(argument);
    if (!number) {
      return runtime_.fail(fmt::format("%{}: expected a number, found {}", conversion.letter, type_name(argument)));
    }
    const auto precision = static_cast<int>(std::min<std::int64_t>(conversion.precision.value_or(6), 400));
    const double magnitude = std::abs(*number);
    std::string digits;
    switch (conversion.letter) {
      case 'e':
        digits = fmt::format("{:.{}e}", magnitude, precision);
        break;
      case 'E':
        digits = fmt::format("{:.{}E}", magnitude, precision);
        break;
      case 'g':
        digits = fmt::format("{:.{}g}", magnitude, precision);
        break;
      case 'G':
        digits = fmt::format("{:.{}G}", magnitude, precision);
        break;
      default:
        digits = fmt::format("{:.{}f}", magnitude, precision);
    }
    pad_number(conversion, std::signbit(*number), "", std::move(digits));
    return {};
  }

  Runtime& runtime_;
  std::string_view format_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::size_t at_ = 0;
  std::size_t n_used_ = 0;
  TextBuilder out_;
};

}  // namespace

Result<Value> printf_text(Runtime& runtime, std::string_view format, const Value& values) {
  return Printf(runtime, format, values).run();
}

Result<Value> format_text(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  TextBuilder out(runtime);
  std::size_t n_automatic = 0;
  for (std::size_t i = 0; i < format.size();) {
    const std::size_t brace = std::min(format.find_first_of("{}", i), format.size());
    out.add(format.substr(i, brace - i));
    if (brace == format.size()) break;
    if (brace + 1 < format.size() && format[brace + 1] == format[brace]) {
      out.add(format.substr(brace, 1));
      i = brace + 2;
      continue;
    }
    const std::size_t end = format[brace] == '{' ? format.find('}', brace) : std::string_view::npos;
    if (end == std::string_view::npos) return runtime.fail("format: expected {} in pairs, found a single brace");
    const std::string_view field = format.substr(brace + 1, end - brace - 1);
    const Value* value = nullptr;
    const std::optional<std::size_t> position = field.empty() ? n_automatic++ : parse_number<std::size_t>(field);
    if (position && *position < arguments.positional.size()) value = &arguments.positional[*position];
    for (const auto& [name, named] : arguments.named) {
      if (name == field) value = &named;
    }
    if (value == nullptr) {
      return runtime.fail(
          fmt::format("format: expected a field with the number or name of an argument, found {}", in_quotes(field)));
    }
    out.add(to_text(runtime, *value).bytes());
    i = end + 1;
  }
  return out.text();
}

}  // namespace secondsource::jinja
