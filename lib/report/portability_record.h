#pragma once
// How well each operation runs on each platform, as plain data; portability.h makes it and explains the figures.

#include <optional>
#include <string>
#include <vector>

namespace secondsource {

struct PortabilityPlatform {
  std::string backend;
  std::string device;
  std::vector<std::string> module_sha256;  ///< of all runs of it
  bool is_oracle = false;                  ///< plain loops that others are held against: in no mean
};

/// One operation on one platform.
struct PortabilityPart {
  std::string state;  ///< "measured", "unsupported", "wrong", "not measured"
  std::string why;    ///< of the last three, and of a share that is absent
  std::optional<double> roofline_share;
  std::optional<double> time_share;  ///< of all operations of this type on this platform
  std::string conformance;           ///< "passed", "failed", "not judged"
  std::vector<std::string> kernels;
  std::vector<std::string> fallbacks;  ///< why slower paths were taken; empty: none was
};

struct PortabilityRow {
  std::string operation;                ///< op_name(); of a fused group the one with the work; "all" of them
  std::string type;                     ///< variant of the weights: "bf16", "int8-w8a8"
  std::string shape_class;              ///< "decode, 1 token"; "all" of an operation without counted work
  std::vector<PortabilityPart> parts;   ///< one a platform
  std::optional<double> portability{};  ///< the harmonic mean; empty where a share is absent
};

struct PortabilityMatrix {
  int schema_version = 1;
  std::vector<PortabilityPlatform> platforms;
  std::vector<PortabilityRow> rows;
  std::vector<std::string> notes;  ///< fallbacks and refusals with their reasons
};

}  // namespace secondsource
