#pragma once
// The file of devices that can be bought or rented: memory, bandwidth, peaks, each with its sources. The project's own
// file is reports/hardware.yaml, of which the program carries a copy; a file of one's own has the same form.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/enum_names.h"
#include "core/result.h"

namespace secondsource {

enum class HardwareKind : std::uint8_t { kGpu, kCpu, kSoc, kTpu, kAccelerator };
SS_ENUM_NAMES(HardwareKind, "gpu", "cpu", "soc", "tpu", "accelerator")

/// Dense operations/s of one device by the type of its multiplications; nullopt where no source states it.
struct PeakRates {
  std::optional<double> bf16{}, fp16{}, fp8{}, int8{};
  std::optional<double> fp4{};    ///< of products that take the scales of NVFP4
  std::optional<double> mxfp4{};  ///< of products that take the scales of MXFP4 alone
};

struct Hardware {
  std::string id{};  ///< as in the price book: "h100-sxm"
  std::string vendor{};
  std::string name{};
  HardwareKind kind = HardwareKind::kGpu;
  std::optional<double> memory_bytes{};  ///< nullopt where it depends on what is fitted, as for a CPU
  std::string memory_type{};
  std::optional<double> bytes_per_s{};  ///< read rate of its memory
  PeakRates peaks{};
  std::optional<double> tdp_w{};
  std::int64_t year = 0;
  std::vector<std::string> sources{};
  std::vector<std::string> unsourced{};  ///< facts that none of the sources states
  std::vector<std::string> notes{};
};

/// Parses a file of devices strictly: unknown keys, rates that are not positive, an id that occurs twice, and a device
/// without a source are refused with the line.
Result<std::vector<Hardware>> parse_hardware_file(std::string_view yaml, std::string_view name);
Result<std::vector<Hardware>> read_hardware_file(const std::filesystem::path& path);

/// The devices of reports/hardware.yaml, from the program's copy.
Result<std::vector<Hardware>> known_hardware();

/// The device of that id. Errors: kInvalidInput, listing the ids that exist.
Result<Hardware> find_hardware(std::string_view id, const std::vector<Hardware>& devices);

}  // namespace secondsource
