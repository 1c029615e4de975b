#pragma once
// Moved: JSON reading serves every library folder.
#include "core/json_fields.h"  // IWYU pragma: export
