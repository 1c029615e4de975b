// The backend over a software model of AMX's tile instructions (kernels/amx_tile_model-inl.h), for tests.

#include "backend/module.h"
#include "cpu/backend.h"

SS_BACKEND_MODULE("cpu-amx-model", "the kernels for AMX over a software model of its instructions",
                  secondsource::cpu::devices, secondsource::cpu::create)
