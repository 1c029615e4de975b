# Products by the vendors' libraries.
ss_add_test(gpu_library SOURCES library_test.cpp workspace_case.cpp TIMEOUT 900
  DEPENDS secondsource_conformance secondsource::backend secondsource_cuda_matmul secondsource_hip_matmul
    secondsource_gpu_kernels_sm_80 secondsource_gpu_kernels_gfx90a secondsource_gpu_shim LABELS conformance)
target_compile_definitions(test_gpu_library PRIVATE
  SS_FAKE_CUBLASLT="$<TARGET_FILE:secondsource_fake_cublaslt>"
  SS_FAKE_HIPBLASLT="$<TARGET_FILE:secondsource_fake_hipblaslt>")
add_dependencies(test_gpu_library secondsource_fake_cublaslt secondsource_fake_hipblaslt)
add_test(NAME gpu_library_long COMMAND test_gpu_library [.long])
set_tests_properties(gpu_library_long PROPERTIES LABELS "conformance;long" TIMEOUT 7200)
