#pragma once
// launch() starts a kernel from host code, without <<<>>>, which g++ cannot parse.

#include "gpu/device.h"

namespace secondsource::gpu {

/// `name`: static text, for messages and for checks of the machine code.
template <typename Argument>
Result<void> launch(Stream& stream, const char* name, void (*kernel)(Argument), const LaunchShape& shape,
                    const Argument& argument) {
  static_assert(std::is_trivially_copyable_v<Argument> && sizeof(Argument) <= 4096);
  const auto invoke = [](const void* function, const void* bytes) {
    reinterpret_cast<void (*)(Argument)>(const_cast<void*>(function))(*static_cast<const Argument*>(bytes));
  };
  return stream.launch({.name = name,
                        .function = reinterpret_cast<const void*>(kernel),
                        .invoke = invoke,
                        .shape = shape,
                        .argument = &argument,
                        .argument_bytes = sizeof(Argument)});
}

}  // namespace secondsource::gpu
