#pragma once
// The sixteen numbers of ggml's types IQ4_NL and IQ4_XS (kvalues_iq4nl of ggml-common.h). They are denser near 0.

#include <array>
#include <cstdint>

namespace secondsource {

inline constexpr std::array<std::int8_t, 16> kFourBitCurve = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                              1,    13,   25,  38,  53,  69,  89,  113};

}  // namespace secondsource
