#include "sensors/amd_sensors.h"

namespace secondsource {

std::unique_ptr<DeviceSensors> open_amd_sensors(const std::string& pci_bus_id, const SensorLibraries& libraries) {
  auto newer = open_amd_smi(pci_bus_id, libraries.amd_smi);
  if (newer) return std::move(newer).value();
  auto older = open_rocm_smi(pci_bus_id, libraries.rocm_smi, newer.error().message);
  if (older) return std::move(older).value();
  if (newer.error().message == older.error().message) return absent_sensors(newer.error().message);
  return absent_sensors(newer.error().message + "; " + older.error().message);
}

}  // namespace secondsource
