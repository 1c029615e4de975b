#pragma once
// A fiber: a function call that can be suspended and resumed. Each thread of a GPU block runs on one. Sanitizers are
// notified of every switch; to ThreadSanitizer each fiber is a thread, so that two GPU threads that touch the same memory
// without a barrier between them are a reported race.

#include <cstddef>

namespace secondsource::gpu::shim {

class Fiber {
 public:
  /// `number`: that of the GPU thread in its block, by which the stacks of neighbours begin at different cache lines.
  explicit Fiber(int number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// The next resume() calls entry(argument) on this fiber's stack. A suspended call is abandoned.
  void start(void (*entry)(void*), void* argument);
  /// Runs the fiber until it suspends. Called outside of any fiber.
  void resume();
  /// Returns to the caller of resume(). Called on this fiber, and after `entry` has returned.
  void suspend();

 private:
  struct Context;
  static void run(Fiber* fiber);

  Context* context_;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
};

}  // namespace secondsource::gpu::shim
