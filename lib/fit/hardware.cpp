#include "fit/hardware.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/file.h"
#include "core/nearest_word.h"
#include "core/units.h"
#include "core/utf8.h"
#include "core/yaml.h"
#include "fit/hardware_text.h"

namespace secondsource {
namespace {

constexpr std::int64_t kVersion = 1;
// Wide enough for a rack that is sold as one device in years to come; a value outside is most likely in another unit.
constexpr NumberRange kMemoryGib{.min = 0.001, .max = 1e6};
constexpr NumberRange kBandwidthGbPerS{.min = 0.1, .max = 1e7};
constexpr NumberRange kPeakTflops{.min = 0.001, .max = 1e8};
constexpr NumberRange kPowerW{.min = 0.1, .max = 1e7};

/// The number under a key times `unit`; nullopt if the key is absent.
Result<std::optional<double>> scaled_number(const YamlNode& node, std::string_view key, NumberRange range,
                                            double unit) {
  if (!node.has(key)) return std::optional<double>();
  SS_TRY(const double value, node.number(key, range));
  return std::optional<double>(value * unit);
}

Result<std::vector<std::string>> texts(const YamlNode& node, std::string_view key) {
  std::vector<std::string> result;
  SS_TRY(const std::vector<YamlNode> items, node.list_or_empty(key));
  for (const YamlNode& item : items) {
    SS_TRY(std::string text, item.as_string());
    result.push_back(std::move(text));
  }
  return result;
}

Result<PeakRates> read_peaks(const YamlNode& device) {
  PeakRates peaks;
  const std::optional<YamlNode> node = device.find("peak_tflops");
  if (!node) return peaks;
  SS_TRY_VOID(node->expect_keys({"bf16", "fp16", "fp8", "int8", "fp4", "mxfp4"}));
  for (const auto& [key, rate] :
       {std::pair("bf16", &peaks.bf16), std::pair("fp16", &peaks.fp16), std::pair("fp8", &peaks.fp8),
        std::pair("int8", &peaks.int8), std::pair("fp4", &peaks.fp4), std::pair("mxfp4", &peaks.mxfp4)}) {
    SS_TRY(*rate, scaled_number(*node, key, kPeakTflops, 1e12));
  }
  return peaks;
}

Result<Hardware> read_device(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"id", "vendor", "name", "kind", "memory_gib", "memory_type", "bandwidth_gb_per_s",
                                "peak_tflops", "tdp_w", "year", "sources", "unsourced", "notes"}));
  Hardware device;
  SS_TRY(device.id, node.string("id"));
  SS_TRY(device.vendor, node.string("vendor"));
  SS_TRY(device.name, node.string("name"));
  SS_TRY(const YamlNode kind, node.at("kind"));
  SS_TRY(const std::string kind_name, kind.as_string());
  const auto known = enum_from_name<HardwareKind>(kind_name);
  if (!known) return kind.mismatch("gpu, cpu, soc, tpu or accelerator");
  device.kind = *known;
  SS_TRY(device.memory_bytes, scaled_number(node, "memory_gib", kMemoryGib, kGibibyte));
  SS_TRY(device.memory_type, node.string_or("memory_type", ""));
  SS_TRY(device.bytes_per_s, scaled_number(node, "bandwidth_gb_per_s", kBandwidthGbPerS, 1e9));
  SS_TRY(device.peaks, read_peaks(node));
  SS_TRY(device.tdp_w, scaled_number(node, "tdp_w", kPowerW, 1));
  SS_TRY(device.year, node.integer_or("year", 0, 1990, 2100));
  SS_TRY(device.sources, texts(node, "sources"));
  SS_TRY(device.unsourced, texts(node, "unsourced"));
  SS_TRY(device.notes, texts(node, "notes"));
  if (device.sources.empty()) return node.fault("sources: expected at least one, found none");
  return device;
}

}  // namespace

Result<std::vector<Hardware>> parse_hardware_file(std::string_view yaml, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(yaml, name));
  SS_TRY_VOID(root.expect_keys({"version", "read_on", "devices"}));
  SS_TRY_VOID(root.integer("version", kVersion, kVersion));
  SS_TRY(const std::vector<YamlNode> nodes, root.list("devices"));
  std::vector<Hardware> devices;
  for (const YamlNode& node : nodes) {
    SS_TRY(Hardware device, read_device(node));
    if (std::ranges::find(devices, device.id, &Hardware::id) != devices.end()) {
      return node.fault(fmt::format("id: {} occurs twice", in_quotes(device.id)));
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

Result<std::vector<Hardware>> read_hardware_file(const std::filesystem::path& path) {
  SS_TRY(const std::string text, read_file(path));
  return parse_hardware_file(text, path.string());
}

Result<std::vector<Hardware>> known_hardware() {
  return parse_hardware_file(detail::hardware_text(), "hardware.yaml");
}

Result<Hardware> find_hardware(std::string_view id, const std::vector<Hardware>& devices) {
  const auto found = std::ranges::find(devices, id, &Hardware::id);
  if (found != devices.end()) return *found;
  std::vector<std::string> ids;
  for (const Hardware& device : devices) ids.push_back(device.id);
  return Error{ErrorCode::kInvalidInput, fmt::format("--on: expected one of {}, found {}{}", fmt::join(ids, ", "),
                                                     in_quotes(id), did_you_mean(id, ids))};
}

}  // namespace secondsource
