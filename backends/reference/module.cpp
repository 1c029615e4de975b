#include "backend/module.h"

#include "reference/backend.h"

SS_BACKEND_MODULE("reference", "plain loops with f64 sums: the oracle", secondsource::reference::devices,
                  secondsource::reference::create)
