#include "gpu/shim/fiber.h"

#include <sys/mman.h>

#include <cstdint>

#include "core/check.h"
#include "gpu/shim/sanitizers.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace secondsource::gpu::shim {
namespace {

/// Sanitizers put redzones around locals, which need a larger stack.
constexpr std::size_t kStackBytes = (kHasAddressSanitizer || kHasThreadSanitizer ? 256 : 64) << 10;

/// Stacks are whole pages. If all of them began at their ends, the frames of a block's threads would share a few sets of the
/// first-level cache, and every switch would miss it. Thirteen lines, without a common divisor with the 64 of a page, spread them.
std::size_t lines_left_free(int number) {
  return static_cast<std::size_t>(number) * 13 % 64;
}

}  // namespace

#if defined(__x86_64__)
/// Pushes the callee-saved registers, stores the stack pointer in *from, and restores both from `to`. swapcontext() also
/// makes a system call for the signal mask and is twenty times slower.
extern "C" void ss_gpu_shim_switch(void** from, void* to);
asm(R"(
.text
.globl ss_gpu_shim_switch
.hidden ss_gpu_shim_switch
.type ss_gpu_shim_switch,@function
ss_gpu_shim_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size ss_gpu_shim_switch,.-ss_gpu_shim_switch
)");
#endif

struct Fiber::Context {
  std::byte* stack = nullptr;
  std::byte* begin = nullptr;  ///< stacks grow downwards from here
#if defined(__x86_64__)
  void* inside = nullptr;  ///< stack pointers
  void* outside = nullptr;
#else
  ucontext_t inside{};
  ucontext_t outside{};
#endif
  FiberSanitizer sanitizer;
};

namespace {
/// The fiber being started: its entry point takes no argument.
thread_local Fiber* beginning = nullptr;
}  // namespace

void Fiber::run(Fiber* fiber) {
  fiber->context_->sanitizer.arrived_inside();
  fiber->entry_(fiber->argument_);
  fiber->suspend();
  SS_CHECK(false, "a fiber went on after its end");
}

Fiber::Fiber(int number) : context_(new Context) {
  void* const stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  SS_CHECK(stack != MAP_FAILED, "no memory for the stack of an emulated GPU thread");
  context_->stack = static_cast<std::byte*>(stack);
  context_->begin = context_->stack + kStackBytes - 64 * (1 + lines_left_free(number));
}

Fiber::~Fiber() {
  context_->sanitizer.forget_stack(context_->stack, kStackBytes);
  munmap(context_->stack, kStackBytes);
  delete context_;
}

void Fiber::start(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  context_->sanitizer.forget_stack(context_->stack, kStackBytes);
  const auto begin = [] { run(beginning); };
#if defined(__x86_64__)
  // The stack as ss_gpu_shim_switch leaves it: six registers, then the return address. On entry to a function the stack
  // pointer is 8 bytes off a multiple of 16.
  auto** top = reinterpret_cast<void**>(context_->begin);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(static_cast<void (*)()>(begin));
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context_->inside = top;
#else
  getcontext(&context_->inside);
  context_->inside.uc_stack.ss_sp = context_->stack;
  context_->inside.uc_stack.ss_size = static_cast<std::size_t>(context_->begin - context_->stack);
  context_->inside.uc_link = nullptr;
  makecontext(&context_->inside, static_cast<void (*)()>(begin), 0);
#endif
}

void Fiber::resume() {
  beginning = this;
  context_->sanitizer.enter(context_->stack, kStackBytes);
#if defined(__x86_64__)
  ss_gpu_shim_switch(&context_->outside, context_->inside);
#else
  swapcontext(&context_->outside, &context_->inside);
#endif
  context_->sanitizer.arrived_outside();
}

void Fiber::suspend() {
  context_->sanitizer.leave();
#if defined(__x86_64__)
  ss_gpu_shim_switch(&context_->inside, context_->outside);
#else
  swapcontext(&context_->inside, &context_->outside);
#endif
  context_->sanitizer.arrived_inside();
}

}  // namespace secondsource::gpu::shim
