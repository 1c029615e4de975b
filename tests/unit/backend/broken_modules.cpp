// Modules that the loader must not use; compile definitions select one of them.
#include "backend/module.h"

#if defined(SS_TEST_FOREIGN)
// Reading anything after the first field would crash.
extern "C" __attribute__((visibility("default"))) const void* secondsource_backend_module() {
  static const char* const kAbiId = "gcc 1.0; boundary 0000";
  static const void* const kModule[1] = {kAbiId};
  return kModule;
}
#elif defined(SS_TEST_NO_DEVICE)
namespace {
secondsource::Result<std::vector<secondsource::DeviceInfo> > devices() {
  return secondsource::Error{secondsource::ErrorCode::kUnavailable, "no such device in this machine"};
}
secondsource::Result<std::unique_ptr<secondsource::Backend> > create(const secondsource::BackendOptions&) {
  return secondsource::Error{secondsource::ErrorCode::kUnavailable, "no such device in this machine"};
}
}  // namespace
SS_BACKEND_MODULE("no_device", "never there", devices, create)
#elif defined(SS_TEST_ABSENT_DEPENDENCY)
extern "C" int secondsource_test_absent();
extern "C" __attribute__((visibility("default"))) int call_absent() {
  return secondsource_test_absent();
}
#elif defined(SS_TEST_ABSENT_LIBRARY)
extern "C" __attribute__((visibility("default"))) int secondsource_test_absent();
int secondsource_test_absent() {
  return 1;
}
#else
extern "C" __attribute__((visibility("default"))) int mute() {
  return 0;
}
#endif
