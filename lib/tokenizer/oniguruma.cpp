#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/oniguruma.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "core/ascii.h"
#include "core/utf8.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

/// A set of characters as members of a class of PCRE2.
struct CharacterSet {
  std::string members;
  std::string others;  // the members of the complement, where a class can name them; empty where it cannot
};

// White_Space as ranges, because \s in PCRE2 also includes U+180E and a bitmap is faster than a property.
constexpr std::string_view kWhitespace =
    "\\x{9}-\\x{d} \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
// With the older characters that have these properties only in Unicode 16, which the Oniguruma of `tokenizers` follows.
constexpr std::string_view kAlphabetic =
    "\\p{Alphabetic}\\x{363}-\\x{36f}\\x{c04}\\x{f82}\\x{f83}\\x{1dd3}-\\x{1de6}\\x{11080}\\x{11081}";
constexpr std::string_view kLowercase = "\\p{Lowercase}\\x{10fc}\\x{a7f2}-\\x{a7f4}\\x{ab69}";
constexpr std::string_view kHexDigit = "0-9a-fA-F";
constexpr std::string_view kGraphic = "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}";
constexpr std::string_view kAny = "\\x{0}-\\x{10ffff}";
// Word characters only outside of classes: Oniguruma looks up the first 256 characters in another table there.
constexpr std::string_view kLatin1Numbers = "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
// Compared with Oniguruma over all characters.
constexpr std::string_view kClosedUnderCase[] = {kWhitespace, kHexDigit,      "\\p{Nd}",     "\\p{N}",  "\\p{P}",
                                                 "\\p{S}",    "\\p{P}\\p{S}", "\\p{sc:han}", "\\p{Lo}", "\\p{Lm}"};

CharacterSet whitespace() {
  return {std::string(kWhitespace), "\\P{White_Space}"};
}

CharacterSet word(bool in_class) {
  return {fmt::format("{}\\p{{M}}\\p{{Nd}}\\p{{Pc}}{}", kAlphabetic, in_class ? "" : kLatin1Numbers), ""};
}

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_hex_digit(char c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// The set of a name such as "alpha" that POSIX classes and properties share.
std::optional<CharacterSet> named_set(std::string_view name, bool in_class) {
  if (name == "alnum") return CharacterSet{fmt::format("{}\\p{{Nd}}", kAlphabetic), ""};
  if (name == "alpha" || name == "alphabetic") return CharacterSet{std::string(kAlphabetic), ""};
  if (name == "blank") return CharacterSet{"\\t\\p{Zs}", ""};
  if (name == "cntrl") return CharacterSet{"\\p{Cc}", "\\P{Cc}"};
  if (name == "digit") return CharacterSet{"\\p{Nd}", "\\P{Nd}"};
  if (name == "graph") return CharacterSet{std::string(kGraphic), ""};
  if (name == "lower" || name == "lowercase") return CharacterSet{std::string(kLowercase), ""};
  if (name == "print") return CharacterSet{fmt::format("{}\\p{{Zs}}", kGraphic), ""};
  if (name == "space") return whitespace();
  if (name == "upper") return CharacterSet{"\\p{Uppercase}", "\\P{Uppercase}"};
  if (name == "xdigit") return CharacterSet{std::string(kHexDigit), ""};
  if (name == "word") return word(in_class);
  return std::nullopt;
}

std::optional<CharacterSet> posix_set(std::string_view name) {
  if (name == "ascii") return CharacterSet{"\\x{0}-\\x{7f}", "\\x{80}-\\x{10ffff}"};
  if (name == "punct") return CharacterSet{"\\p{P}\\p{S}", ""};
  return named_set(name, true);
}

/// The set of \s, \w, \d and \h.
std::optional<CharacterSet> letter_set(char letter, bool in_class) {
  if (letter == 's') return whitespace();
  if (letter == 'w') return word(in_class);
  if (letter == 'd') return CharacterSet{"\\p{Nd}", "\\P{Nd}"};
  if (letter == 'h') return CharacterSet{std::string(kHexDigit), ""};
  return std::nullopt;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

bool pcre2_knows(std::string_view property) {
  const std::string pattern = fmt::format("\\p{{{}}}", property);
  int error = 0;
  PCRE2_SIZE offset = 0;
  const std::unique_ptr<pcre2_code, FreeCode> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset, nullptr));
  return code != nullptr;
}

/// The set of \p{name}, with the name in small letters and without separators.
std::optional<CharacterSet> property_set(std::string_view name, bool in_class) {
  if (name.empty() ||
      !std::all_of(name.begin(), name.end(), [](char c) { return is_ascii_letter(c) || is_ascii_digit(c); }))
    return std::nullopt;
  if (name == "punct") name = "p";
  if (const std::optional<CharacterSet> set = named_set(name, in_class)) return set;
  // \p{Han} alone is the property Script_Extensions in PCRE2, and in Oniguruma the property Script.
  std::string property = fmt::format("sc:{}", name);
  if (!pcre2_knows(property)) {
    property = name;
    property[0] = static_cast<char>(property[0] - 'a' + 'A');  // as in Lu
  }
  if (!pcre2_knows(property)) return std::nullopt;
  return CharacterSet{fmt::format("\\p{{{}}}", property), fmt::format("\\P{{{}}}", property)};
}

/// Whether the set has with each character its other case. Those that are not listed may lack some, as \p{Lu} does.
bool is_closed_under_case(std::string_view members) {
  if (members.starts_with(kAlphabetic)) return true;
  return std::find(std::begin(kClosedUnderCase), std::end(kClosedUnderCase), members) != std::end(kClosedUnderCase);
}

/// Reads a pattern from the front and writes the same for PCRE2.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    while (position_ < pattern_.size()) {
      switch (pattern_[position_]) {
        case '\\':
          SS_TRY_VOID(escape());
          break;
        case '[':
          SS_TRY_VOID(character_class());
          break;
        case '(':
          SS_TRY_VOID(open_group());
          break;
        case ')':
          close_group();
          break;
        case '{':
          interval();
          break;
        case '*':
        case '+':
        case '?':
          result_.push_back(pattern_[position_++]);
          break;
        default:
          literal();
      }
    }
    result_.append(groups_.front().n_options, ')');
    return std::move(result_);
  }

 private:
  struct Group {
    std::size_t begin = 0;      // of its '(' in the result
    std::size_t n_options = 0;  // groups for (?i), which end with it
    bool ignores_case = false;
  };

  /// What a class has so far: [members] or one of [^complement].
  struct Class {
    std::string members;
    std::vector<std::string> complements;

    void add(const CharacterSet& set, bool is_negated) {
      if (!is_negated) {
        members += set.members;
      } else if (!set.others.empty()) {
        members += set.others;
      } else {
        complements.push_back(set.members);
      }
    }
  };

  static Error refuse(std::size_t offset, std::string_view what) {
    return {ErrorCode::kInvalidInput, fmt::format("offset {}: {}", offset, what)};
  }
  std::string_view rest() const { return pattern_.substr(position_); }
  void begin_atom() { atom_begin_ = result_.size(); }

  void copy_character(std::string& result) {
    const std::string_view character = rest().substr(0, character_length(rest()[0]));
    result += character;
    position_ += character.size();
  }

  void literal() {
    begin_atom();
    copy_character(result_);
  }

  Result<void> open_group() {
    const std::size_t begin = position_;
    if (rest().starts_with("(?#")) {
      const std::size_t end = pattern_.find(')', position_);
      if (end == std::string_view::npos) return refuse(begin, "expected a ) at the end of the comment");
      position_ = end + 1;
      return {};
    }
    groups_.push_back({.begin = result_.size(), .ignores_case = groups_.back().ignores_case});
    result_.push_back(pattern_[position_++]);
    if (!rest().starts_with('?')) return {};
    result_.push_back(pattern_[position_++]);
    const std::size_t end = pattern_.find_first_of(":)", position_);
    const std::string_view options = pattern_.substr(position_, std::min(end, pattern_.size()) - position_);
    const bool has_options = !options.empty() && (options[0] == '-' || is_ascii_letter(options[0]));
    if (!has_options) return {};
    bool is_on = true;
    for (const char option : options) {
      if (option == '-') is_on = false;
      if (option == 'i') groups_.back().ignores_case = is_on;
      // The dot that matches a newline is "multiline" in Ruby, and "single line" in PCRE2.
      if (option == 'm') {
        result_.push_back('s');
      } else if (option == 'i' || option == '-') {
        result_.push_back(option);
      } else {
        return refuse(begin, fmt::format("the option {} of a group is not supported", printable({&option, 1})));
      }
    }
    position_ += options.size();
    result_.push_back(':');
    if (position_ == pattern_.size()) return refuse(begin, "expected a ) at the end of the group");
    if (pattern_[position_++] == ')') {
      // (?i) holds for the rest of its group, with all alternatives of that rest: a(?i)b|c is a(?i:b|c).
      const bool ignores_case = groups_.back().ignores_case;
      groups_.pop_back();
      groups_.back().ignores_case = ignores_case;
      ++groups_.back().n_options;
    }
    return {};
  }

  void close_group() {
    const Group group = groups_.back();
    if (groups_.size() > 1) groups_.pop_back();
    result_.append(group.n_options + 1, ')');
    atom_begin_ = group.begin;
    ++position_;
  }

  /// {n}, {n,}, {,m} or {n,m}; any other brace is a character.
  void interval() {
    std::size_t end = position_ + 1;
    const auto number = [&] {
      const std::size_t begin = end;
      while (end < pattern_.size() && is_ascii_digit(pattern_[end])) ++end;
      return pattern_.substr(begin, end - begin);
    };
    const std::string_view low = number();
    const bool is_range = end < pattern_.size() && pattern_[end] == ',';
    if (is_range) ++end;
    const std::string_view high = is_range ? number() : low;
    if ((low.empty() && high.empty()) || end == pattern_.size() || pattern_[end] != '}') {
      begin_atom();
      result_ += "\\{";
      ++position_;
      return;
    }
    position_ = end + 1;
    const char next = position_ < pattern_.size() ? pattern_[position_] : '\0';
    // The + after an interval repeats it, and so does the ? after {n}. In PCRE2 they change how it matches.
    const bool is_repeated = next == '+' || (next == '?' && !is_range);
    if (is_repeated) result_.insert(atom_begin_, "(?:");
    fmt::format_to(std::back_inserter(result_), "{{{},{}}}", low.empty() ? "0" : low, high);
    if (is_repeated) result_.push_back(')');
  }

  Result<void> escape() {
    const std::size_t begin = position_;
    if (begin + 1 == pattern_.size()) return refuse(begin, "expected a character after the \\");
    SS_TRY(const std::optional<Member> set, set_escape(false));
    begin_atom();
    if (set) {
      fmt::format_to(std::back_inserter(result_), "[{}{}]", set->is_negated ? "^" : "", set->set.members);
      return {};
    }
    const char letter = pattern_[begin + 1];
    if (letter == 'b' || letter == 'B') {
      const std::string members = word(false).members;
      const bool is_edge = letter == 'b';
      fmt::format_to(std::back_inserter(result_), "(?:(?<=[{0}])(?{1}[{0}])|(?<![{0}])(?{2}[{0}]))", members,
                     is_edge ? '!' : '=', is_edge ? '=' : '!');
      position_ += 2;
      return {};
    }
    if (letter == 'O') {
      fmt::format_to(std::back_inserter(result_), "[{}]", kAny);
      position_ += 2;
      return {};
    }
    constexpr std::string_view kSameInPcre2 = "RNKkgGAzZ123456789";
    if (kSameInPcre2.find(letter) != std::string_view::npos) {
      position_ += 2;
      if (is_ascii_digit(letter)) {
        while (!rest().empty() && is_ascii_digit(rest()[0])) ++position_;
      } else if ((letter == 'k' || letter == 'g') && !rest().empty()) {  // \k<name> or \k'name'
        const std::size_t end = pattern_.find(rest()[0] == '<' ? '>' : rest()[0], position_ + 1);
        if (end != std::string_view::npos) position_ = end + 1;
      }
      result_ += pattern_.substr(begin, position_ - begin);
      return {};
    }
    return character_escape(result_);
  }

  struct Member {
    CharacterSet set;
    bool is_negated = false;
  };

  /// The set that the escape here names; nullopt, and nothing is read, if it names none.
  Result<std::optional<Member>> set_escape(bool in_class) {
    const std::size_t begin = position_;
    const char letter = pattern_[begin + 1];
    const char small = ascii_lower(letter);
    bool is_negated = letter != small;
    if (small != 'p') {
      const std::optional<CharacterSet> set = letter_set(small, in_class);
      if (!set) return std::optional<Member>();
      position_ += 2;
      return std::optional<Member>({*set, is_negated});
    }
    const std::size_t end = pattern_.find('}', begin);
    if (pattern_.substr(begin + 2, 1) != "{" || end == std::string_view::npos) {
      return refuse(begin, fmt::format("expected the name of a property in braces after \\{}", letter));
    }
    std::string name;
    std::string_view written = pattern_.substr(begin + 3, end - begin - 3);
    if (written.starts_with('^')) {
      is_negated = !is_negated;
      written.remove_prefix(1);
    }
    for (const char c : written) {
      if (c != ' ' && c != '_' && c != '-') name.push_back(ascii_lower(c));
    }
    const std::optional<CharacterSet> set = property_set(name, in_class);
    if (!set) return refuse(begin, fmt::format("the property {} is not known", in_quotes(written)));
    position_ = end + 1;
    return std::optional<Member>({*set, is_negated});
  }

  /// An escape that means one character, in a class or outside.
  Result<void> character_escape(std::string& result) {
    const std::size_t begin = position_;
    const char letter = pattern_[begin + 1];
    position_ += 2;
    if (letter == 'v') {
      result += "\\x{b}";  // all vertical white space in PCRE2
      return {};
    }
    if (letter == 'u') {
      const std::string_view digits = pattern_.substr(position_, 4);
      if (digits.size() < 4 || !std::all_of(digits.begin(), digits.end(), is_hex_digit)) {
        return refuse(begin, "expected four hexadecimal digits after \\u");
      }
      fmt::format_to(std::back_inserter(result), "\\x{{{}}}", digits);
      position_ += 4;
      return {};
    }
    if (letter == 'x') {
      const bool has_braces = rest().starts_with('{');
      const std::size_t end = has_braces ? pattern_.find('}', position_) : position_ + 2;
      if (has_braces) ++position_;
      const std::string_view digits = pattern_.substr(position_, std::min(end, pattern_.size()) - position_);
      if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_hex_digit)) {
        return refuse(begin, "expected two hexadecimal digits after \\x, or some in braces");
      }
      if (!has_braces && (digits.size() < 2 || digits >= "8")) {
        return refuse(begin, "a byte that is no character is not supported; write \\x{e9} for U+00E9");
      }
      fmt::format_to(std::back_inserter(result), "\\x{{{}}}", digits);
      position_ = has_braces ? end + 1 : end;
      return {};
    }
    if (letter == '0') {
      result += "\\0";
      for (int i = 0; i < 2 && !rest().empty() && rest()[0] >= '0' && rest()[0] <= '7'; ++i) {
        result.push_back(pattern_[position_++]);
      }
      return {};
    }
    constexpr std::string_view kSameInPcre2 = "tnrfae";
    if ((is_ascii_letter(letter) || is_ascii_digit(letter)) && kSameInPcre2.find(letter) == std::string_view::npos) {
      return refuse(begin, fmt::format("\\{} is not supported", letter));
    }
    if (static_cast<unsigned char>(letter) < 0x80) result.push_back('\\');
    --position_;
    copy_character(result);
    return {};
  }

  Result<void> character_class() {
    ++position_;
    begin_atom();
    Class content;
    const bool is_negated = rest().starts_with('^');
    if (is_negated) ++position_;
    // A ']' directly after the opening is a member, as in "[]a]" and "[^]a]".
    bool is_first = true;
    while (is_first || !rest().starts_with(']')) {
      if (rest().empty()) return refuse(pattern_.size(), "missing terminating ] for character class");
      SS_TRY_VOID(class_member(content, is_first));
      is_first = false;
    }
    ++position_;
    append_class(content, is_negated);
    return {};
  }

  Result<void> class_member(Class& content, bool is_first) {
    const std::size_t begin = position_;
    if (rest().starts_with("&&")) return refuse(begin, "class intersection is not supported");
    std::optional<Member> set;
    if (rest()[0] == '[') {
      SS_TRY(set, posix_class());
    } else if (rest()[0] == '\\') {
      if (rest().size() == 1) return refuse(begin, "expected a character after the \\");
      SS_TRY(set, set_escape(true));
      if (!set && rest()[1] == 'b') {
        content.members += "\\x{8}";
        position_ += 2;
        return {};
      }
      if (!set) return character_escape(content.members);
    }
    if (set) {
      // Where case is ignored, a class of Oniguruma has the other case of each of its members. In PCRE2 this holds for the characters
      // that are listed in the class, but not for its properties.
      const bool is_letters = set->set.members == "\\p{L}" && !set->is_negated;
      if (groups_.back().ignores_case && is_letters) {
        set->set.members += "\\x{345}";  // the only mark with a letter as its other case
      } else if (groups_.back().ignores_case && !is_closed_under_case(set->set.members)) {
        return refuse(begin, "this property in a class that ignores case is not supported");
      }
      content.add(set->set, set->is_negated);
      if (rest().starts_with('-') && rest().substr(0, 2) != "-]") {
        return refuse(position_, "expected no range that begins with a class");
      }
      return {};
    }
    if ((is_first && rest()[0] == ']') || rest()[0] == '^') content.members.push_back('\\');
    copy_character(content.members);
    return {};
  }

  /// [:alpha:] or [:^alpha:]
  Result<std::optional<Member>> posix_class() {
    const std::size_t begin = position_;
    const std::size_t end = pattern_.find(":]", begin);
    std::string_view name = pattern_.substr(begin, std::min(end, pattern_.size()) - begin);
    if (!name.starts_with("[:") || end == std::string_view::npos) {
      return refuse(begin, "a class inside a class is not supported");
    }
    name.remove_prefix(2);
    const bool is_negated = name.starts_with('^');
    if (is_negated) name.remove_prefix(1);
    const std::optional<CharacterSet> set = posix_set(name);
    if (!set) return refuse(begin, fmt::format("the class {} is not known", in_quotes(name)));
    position_ = end + 2;
    return std::optional<Member>({*set, is_negated});
  }

  /// PCRE2 has no complement of several properties as a member of a class: [a\W] becomes (?:[a]|[^\w]).
  void append_class(const Class& content, bool is_negated) {
    const std::vector<std::string>& complements = content.complements;
    if (complements.empty()) {
      fmt::format_to(std::back_inserter(result_), "[{}{}]", is_negated ? "^" : "", content.members);
      return;
    }
    std::string alternatives;
    if (!content.members.empty()) alternatives = fmt::format("[{}]|", content.members);
    alternatives += fmt::format("[^{}]", fmt::join(complements, "]|[^"));
    if (is_negated) {
      fmt::format_to(std::back_inserter(result_), "(?:(?!{})[{}])", alternatives, kAny);
    } else {
      fmt::format_to(std::back_inserter(result_), "(?:{})", alternatives);
    }
  }

  std::string_view pattern_;
  std::size_t position_ = 0;
  std::string result_;
  std::size_t atom_begin_ = 0;  // in the result: what a quantifier repeats
  std::vector<Group> groups_ = {{}};
};

}  // namespace

Result<std::string> pattern_for_pcre2(std::string_view pattern) {
  return Translator(pattern).run();
}

}  // namespace secondsource::tokenizer
