#pragma once
// Moved: JSON reading serves every library folder.
#include "core/json.h"  // IWYU pragma: export
