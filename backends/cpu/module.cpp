#include "backend/module.h"

#include "cpu/backend.h"

SS_BACKEND_MODULE("cpu", "own SIMD kernels on all cores, chosen by CPU", secondsource::cpu::devices,
                  secondsource::cpu::create)
