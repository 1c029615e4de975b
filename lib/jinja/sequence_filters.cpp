// Filters that order, cut and pick the items of a value.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "core/utf8.h"
#include "jinja/filters.h"
#include "jinja/operators.h"

namespace secondsource::jinja {
namespace sequence_filter {
namespace {

/// A value with what it is ordered by.
struct Keyed {
  Value item;
  Value key;
};

Result<std::vector<Keyed>> keyed(Runtime& runtime, const Value& input, const Value& path, bool is_case_sensitive) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  std::vector<Keyed> result;
  for (const Value& item : items) {
    SS_TRY(Value key, at_path(runtime, item, path));
    if (!is_case_sensitive) key = without_case(runtime, key);
    result.push_back({item, std::move(key)});
  }
  return result;
}

Value items_only(Runtime& runtime, std::vector<Keyed> entries) {
  std::vector<Value> items;
  for (Keyed& entry : entries) items.push_back(std::move(entry.item));
  return runtime.list(std::move(items));
}

Result<Value> list(Runtime& runtime, const Value& input, const Bound&) {
  SS_TRY(std::vector<Value> items, items_of(runtime, input));
  return runtime.list(std::move(items));
}

Result<Value> first(Runtime& runtime, const Value& input, const Bound&) {
  if (Sequence* sequence = as_sequence(input); sequence != nullptr && !sequence->items.empty()) {
    Value result = sequence->items.front();
    if (sequence->kind == SequenceKind::kIterator) sequence->items.erase(sequence->items.begin());
    return result;
  }
  if (const Text* text = as<Text>(input); text != nullptr && text->n_characters() > 0) {
    return runtime.text(std::string(characters(*text, 0, 1)));
  }
  SS_TRY(std::vector<Value> items, items_of(runtime, input));
  return items.empty() ? runtime.undefined("expected a first item, found an empty sequence") : items.front();
}

Result<Value> last(Runtime& runtime, const Value& input, const Bound&) {
  const Sequence* sequence = as_sequence(input);
  if (sequence != nullptr && sequence->kind == SequenceKind::kIterator) {
    return runtime.fail("last: expected a list, found a generator");
  }
  if (sequence != nullptr && !sequence->items.empty()) return sequence->items.back();
  SS_TRY(std::vector<Value> items, items_of(runtime, input));
  return items.empty() ? runtime.undefined("expected a last item, found an empty sequence") : items.back();
}

Result<Value> reverse(Runtime& runtime, const Value& input, const Bound&) {
  if (as_text(input) != nullptr) return slice(runtime, input, None{}, None{}, std::int64_t{-1});
  SS_TRY(std::vector<Value> items, items_of(runtime, input));
  std::reverse(items.begin(), items.end());
  const Sequence* sequence = as_sequence(input);
  const bool was_read = sequence != nullptr && sequence->kind == SequenceKind::kIterator;
  return was_read ? runtime.list(std::move(items)) : runtime.iterator(std::move(items));
}

/// The keys of several attributes, "age,name", are compared one after the other.
Result<Value> sort(Runtime& runtime, const Value& input, const Bound& arguments) {
  const bool is_case_sensitive = arguments.truth_or(1, false);
  const Value path = arguments.value_or(2, None{});
  std::vector<Value> paths = {path};
  if (const std::string* text = as_text(path)) {
    paths.clear();
    for (std::size_t begin = 0; begin <= text->size();) {
      const std::size_t end = std::min(text->find(',', begin), text->size());
      paths.push_back(runtime.text(text->substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  std::vector<Keyed> entries;
  for (const Value& item : items) {
    std::vector<Value> keys;
    for (const Value& one : paths) {
      SS_TRY(const Value key, at_path(runtime, item, one));
      keys.push_back(is_case_sensitive ? key : without_case(runtime, key));
    }
    entries.push_back({item, runtime.list(std::move(keys))});
  }
  SS_TRY_VOID(sort_values(
      runtime, entries, [](const Keyed& entry) -> const Value& { return entry.key; }, arguments.truth_or(0, false)));
  return items_only(runtime, std::move(entries));
}

Result<Value> dictsort(Runtime& runtime, const Value& input, const Bound& arguments) {
  const Dict* dict = as_dict(input);
  if (dict == nullptr) return runtime.fail(fmt::format("dictsort: expected a dict, found {}", type_name(input)));
  SS_TRY(const std::string by, arguments.text_or(runtime, 1, "key"));
  if (by != "key" && by != "value") return runtime.fail("dictsort: by: expected key or value");
  std::vector<Keyed> entries;
  for (const auto& [key, value] : dict->entries) {
    const Value& chosen = by == "key" ? key : value;
    entries.push_back(
        {runtime.tuple({key, value}), arguments.truth_or(0, false) ? chosen : without_case(runtime, chosen)});
  }
  SS_TRY_VOID(sort_values(
      runtime, entries, [](const Keyed& entry) -> const Value& { return entry.key; }, arguments.truth_or(2, false)));
  return items_only(runtime, std::move(entries));
}

Result<Value> unique(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Keyed> entries,
         keyed(runtime, input, arguments.value_or(1, None{}), arguments.truth_or(0, false)));
  std::vector<Value> seen;
  std::vector<Value> items;
  for (const Keyed& entry : entries) {
    SS_TRY_VOID(check_key(runtime, entry.key));
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& key) { return equal(runtime, key, entry.key); }))
      continue;
    seen.push_back(entry.key);
    items.push_back(entry.item);
  }
  return runtime.iterator(std::move(items));
}

template <bool is_max>
Result<Value> extreme(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Keyed> entries,
         keyed(runtime, input, arguments.value_or(1, None{}), arguments.truth_or(0, false)));
  if (entries.empty()) return runtime.undefined("expected an item, found an empty sequence");
  const Keyed* best = entries.data();
  for (const Keyed& entry : entries) {
    SS_TRY(const bool is_better, is_max ? less(runtime, best->key, entry.key) : less(runtime, entry.key, best->key));
    if (is_better) best = &entry;
  }
  return best->item;
}

Result<Value> groupby(Runtime& runtime, const Value& input, const Bound& arguments) {
  static constexpr std::array<std::string_view, 2> kAttributes = {"grouper", "list"};
  const bool is_case_sensitive = arguments.truth_or(2, false);
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  std::vector<Keyed> entries;
  for (const Value& item : items) {
    SS_TRY(const Value key, at_path(runtime, item, arguments[0], arguments.value_or(1, None{})));
    entries.push_back({runtime.tuple({item, key}), is_case_sensitive ? key : without_case(runtime, key)});
  }
  SS_TRY_VOID(sort_values(runtime, entries, [](const Keyed& entry) -> const Value& { return entry.key; }));
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < entries.size();) {
    std::vector<Value> members;
    std::size_t end = begin;
    for (; end < entries.size() && equal(runtime, entries[begin].key, entries[end].key); ++end) {
      members.push_back(as_sequence(entries[end].item)->items[0]);
    }
    if (end == begin) break;  // a limit was reached
    auto group = std::make_unique<Sequence>();
    group->kind = SequenceKind::kTuple;
    group->attributes = kAttributes;
    group->items = {as_sequence(entries[begin].item)->items[1], runtime.list(std::move(members))};
    group->depth = 1 + as_sequence(group->items[1])->depth;
    groups.emplace_back(runtime.own(std::move(group), 2 * sizeof(Value)));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

Result<Value> batch(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  SS_TRY(const std::int64_t n, arguments.integer_or(runtime, 0, 1));
  std::vector<Value> batches;
  std::vector<Value> now;
  for (const Value& item : items) {
    if (static_cast<std::int64_t>(now.size()) == n) batches.push_back(runtime.list(std::exchange(now, {})));
    now.push_back(item);
  }
  if (!now.empty()) {
    const bool fills = arguments.has(1) && !is_none(arguments[1]);
    while (fills && static_cast<std::int64_t>(now.size()) < n && runtime.spend()) now.push_back(arguments[1]);
    batches.push_back(runtime.list(std::move(now)));
  }
  return runtime.iterator(std::move(batches));
}

Result<Value> slices(Runtime& runtime, const Value& input, const Bound& arguments) {
  SS_TRY(const std::vector<Value> items, items_of(runtime, input));
  SS_TRY(const std::int64_t n, arguments.integer_or(runtime, 0, 1));
  if (n < 1) return runtime.fail("slice: expected at least one slice");
  const auto n_items = static_cast<std::int64_t>(items.size());
  const std::int64_t n_larger = n_items % n;
  std::vector<Value> result;
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < n && runtime.spend(); ++i) {
    const std::int64_t end = at + n_items / n + (i < n_larger ? 1 : 0);
    std::vector<Value> one(items.begin() + at, items.begin() + end);
    at = end;
    if (arguments.has(1) && !is_none(arguments[1]) && i >= n_larger) one.push_back(arguments[1]);
    result.push_back(runtime.list(std::move(one)));
  }
  return runtime.iterator(std::move(result));
}

Result<Value> items_filter(Runtime& runtime, const Value& input, const Bound&) {
  if (is_undefined(input)) return runtime.iterator({});
  const Dict* dict = as_dict(input);
  if (dict == nullptr) return runtime.fail(fmt::format("items: expected a dict, found {}", type_name(input)));
  std::vector<Value> items;
  for (const auto& [key, value] : dict->entries) items.push_back(runtime.tuple({key, value}));
  return runtime.iterator(std::move(items));
}

using Names = std::string_view;
constexpr Parameters kNone{.names = {}};
constexpr std::array<Names, 3> kSort = {"reverse", "case_sensitive", "attribute"};
constexpr std::array<Names, 3> kDictsort = {"case_sensitive", "by", "reverse"};
constexpr std::array<Names, 2> kUnique = {"case_sensitive", "attribute"};
constexpr std::array<Names, 3> kGroupby = {"attribute", "default", "case_sensitive"};
constexpr std::array<Names, 2> kBatch = {"linecount", "fill_with"};
constexpr std::array<Names, 2> kSlice = {"slices", "fill_with"};

constexpr std::array kFilters = {
    Filter{"list", kNone, list},
    Filter{"first", kNone, first},
    Filter{"last", kNone, last},
    Filter{"reverse", kNone, reverse},
    Filter{"sort", {.names = kSort}, sort},
    Filter{"dictsort", {.names = kDictsort}, dictsort},
    Filter{"unique", {.names = kUnique}, unique},
    Filter{"min", {.names = kUnique}, extreme<false>},
    Filter{"max", {.names = kUnique}, extreme<true>},
    Filter{"groupby", {.names = kGroupby, .n_required = 1}, groupby},
    Filter{"batch", {.names = kBatch, .n_required = 1}, batch},
    Filter{"slice", {.names = kSlice, .n_required = 1}, slices},
    Filter{"items", kNone, items_filter},
};

}  // namespace
}  // namespace sequence_filter

std::span<const Filter> sequence_filters() {
  return sequence_filter::kFilters;
}

}  // namespace secondsource::jinja
