#include "backend/module.h"

#include "onednn/backend.h"

SS_BACKEND_MODULE("onednn", "oneDNN matmuls, own loops for the rest, OpenMP", secondsource::onednn::devices,
                  secondsource::onednn::create)
