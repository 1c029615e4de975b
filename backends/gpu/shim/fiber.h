#pragma once
// A function call that can be left in the middle and gone back to: one for each thread of a GPU block. Sanitizers are
// told about every switch; ThreadSanitizer sees each fiber as a thread of its own, so that two GPU threads that touch
// the same memory without a barrier between them are a reported race.

#include <cstddef>

namespace secondsource::gpu::shim {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() calls entry(argument) on this fiber's stack. A call that was left in the middle is dropped.
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it suspends. Called outside of any fiber.
  void resume();
  /// Goes back to where resume() was called. Called on this fiber; the last thing that `entry` does, too.
  void suspend();

 private:
  struct Context;
  static void run(Fiber* fiber);

  Context* context_;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace secondsource::gpu::shim
