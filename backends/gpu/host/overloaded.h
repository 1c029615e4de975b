#pragma once
// For std::visit over the operations. Without a catch-all among the functions, a new operation does not compile until it
// is answered for.

namespace secondsource::gpu {

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

}  // namespace secondsource::gpu
