// A stand-in for the libcuda.so.1 of a driver for CUDA 12.8 or, built with SS_FAKE_DRIVER_BROKEN, of one that cannot report its
// version. The function and its encoding, 1000 major + 10 minor, are those of the CUDA driver API reference.

extern "C" __attribute__((visibility("default"))) int cuDriverGetVersion(int* version) {
#if defined(SS_FAKE_DRIVER_BROKEN)
  *version = 0;
  return 3;  // CUDA_ERROR_NOT_INITIALIZED
#else
  *version = 12080;
  return 0;
#endif
}
