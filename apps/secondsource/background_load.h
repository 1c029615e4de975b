#pragma once
// Puts load on the machine as long as an object of this class lives, as a neighbour does during a measurement.

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace secondsource {

enum class LoadKind : std::uint8_t {
  kNone,
  kBursts,  ///< one thread that works half of the time, in bursts of 0.1 to 1 s
  kBusy,    ///< one thread per CPU that works all the time
};

class BackgroundLoad {
 public:
  explicit BackgroundLoad(LoadKind kind);
  ~BackgroundLoad();
  BackgroundLoad(const BackgroundLoad&) = delete;
  BackgroundLoad& operator=(const BackgroundLoad&) = delete;

 private:
  void work(bool in_bursts);

  std::atomic<bool> done_{false};
  std::vector<std::thread> threads_;
};

}  // namespace secondsource
