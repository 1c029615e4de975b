#pragma once
// Notifies AddressSanitizer and ThreadSanitizer of fiber switches; empty in other builds. The shim's own bookkeeping is
// shared by all fibers and would look like races to ThreadSanitizer. So, where the kernels are compiled with
// -fsanitize=thread, the shim is compiled without it and with SS_GPU_SHIM_TSAN.

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
extern "C" {
void __asan_unpoison_memory_region(void const volatile* address, std::size_t bytes);
void __sanitizer_start_switch_fiber(void** saved, const void* stack, std::size_t bytes);
void __sanitizer_finish_switch_fiber(void* saved, const void** old_stack, std::size_t* old_bytes);
}
#endif
#if defined(SS_GPU_SHIM_TSAN)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace secondsource::gpu::shim {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kHasAddressSanitizer = true;
#else
inline constexpr bool kHasAddressSanitizer = false;
#endif
#if defined(SS_GPU_SHIM_TSAN)
inline constexpr bool kHasThreadSanitizer = true;
#else
inline constexpr bool kHasThreadSanitizer = false;
#endif

/// Called before and after each switch into and out of one fiber.
class FiberSanitizer {
 public:
#if defined(__SANITIZE_ADDRESS__)
  void enter(const void* stack, std::size_t bytes) {
    __sanitizer_start_switch_fiber(&outside_, stack, bytes);
  }
  void arrived_inside() {
    __sanitizer_finish_switch_fiber(inside_, &outside_stack_, &outside_bytes_);
  }
  void leave() {
    __sanitizer_start_switch_fiber(&inside_, outside_stack_, outside_bytes_);
  }
  void arrived_outside() {
    __sanitizer_finish_switch_fiber(outside_, nullptr, nullptr);
  }
  /// Unpoisons what an abandoned call left poisoned on this stack.
  void forget_stack(const void* stack, std::size_t bytes) {
    inside_ = nullptr;
    __asan_unpoison_memory_region(stack, bytes);
  }

 private:
  void* inside_ = nullptr;
  void* outside_ = nullptr;
  const void* outside_stack_ = nullptr;
  std::size_t outside_bytes_ = 0;
#elif defined(SS_GPU_SHIM_TSAN)
  static constexpr unsigned kNoOrder = 1;  ///< a switch creates no happens-before edge
  FiberSanitizer() : inside_(__tsan_create_fiber(0)) {}
  ~FiberSanitizer() {
    __tsan_destroy_fiber(inside_);
  }
  FiberSanitizer(const FiberSanitizer&) = delete;
  FiberSanitizer& operator=(const FiberSanitizer&) = delete;
  void enter(const void*, std::size_t) {
    outside_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(inside_, kNoOrder);
  }
  void arrived_inside() {}
  void leave() {
    __tsan_switch_to_fiber(outside_, kNoOrder);
  }
  void arrived_outside() {}
  void forget_stack(const void*, std::size_t) {}

 private:
  void* inside_;
  void* outside_ = nullptr;
#else
  void enter(const void*, std::size_t) {}
  void arrived_inside() {}
  void leave() {}
  void arrived_outside() {}
  void forget_stack(const void*, std::size_t) {}
#endif
};

/// Creates a happens-before edge from release_order(place) on one fiber to acquire_order(place) on another.
inline void release_order([[maybe_unused]] void* place) {
#if defined(SS_GPU_SHIM_TSAN)
  __tsan_release(place);
#endif
}
inline void acquire_order([[maybe_unused]] void* place) {
#if defined(SS_GPU_SHIM_TSAN)
  __tsan_acquire(place);
#endif
}

}  // namespace secondsource::gpu::shim
