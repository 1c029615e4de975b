#pragma once
// The version of a published format, as a field of its record. It is written as a number, and readers refuse any other
// number.

namespace secondsource {

template <int kVersion>
struct SchemaVersion {
  static constexpr int kExpected = kVersion;
};

}  // namespace secondsource
