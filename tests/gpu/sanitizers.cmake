# Each program has the kernels of one target and the host part compiled with its sanitizer, and with AddressSanitizer the shim as well. Two
# GPU threads that access the same shared memory without a barrier between them are a data race to ThreadSanitizer.
if(SECONDSOURCE_SANITIZE OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  return()
endif()
file(GLOB host_files ${CMAKE_SOURCE_DIR}/backends/gpu/host/*.cpp)
file(GLOB shim_files ${CMAKE_SOURCE_DIR}/backends/gpu/shim/*.cpp)
# See shim/sanitizers.h.
add_library(gpu_shim_beside_thread OBJECT ${shim_files})
target_include_directories(gpu_shim_beside_thread PRIVATE ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR}/backends)
target_compile_definitions(gpu_shim_beside_thread PRIVATE SS_GPU_SHIM_TSAN)
target_compile_options(gpu_shim_beside_thread PRIVATE -O1 -g1)
include(GpuKernels)
ss_gpu_kernel_files(kernel_files)
if(NOT kernel_files)
  message(FATAL_ERROR "no kernel would run under the sanitizers")
endif()
function(ss_gpu_under sanitizer target shim)
  set(program gpu_under_${sanitizer})
  add_executable(${program} under_sanitizer.cpp ${kernel_files} ${host_files} ${shim})
  target_include_directories(${program} PRIVATE ${CMAKE_SOURCE_DIR}/backends)
  target_compile_definitions(${program} PRIVATE SS_GPU_SHIM_TARGET_${target} SS_TESTED_TARGET="${target}")
  target_compile_options(${program} PRIVATE -O1 -g1 -fsanitize=${sanitizer})
  target_link_options(${program} PRIVATE -fsanitize=${sanitizer})
  # The module names the other targets' kernels, too; they do not run here.
  target_link_libraries(${program} PRIVATE secondsource_conformance secondsource::backend secondsource_gpu_kernels_sm_80
    secondsource_gpu_kernels_sm_90a secondsource_gpu_kernels_gfx90a secondsource_gpu_kernels_gfx942
    secondsource_gpu_kernels_gfx1100 Threads::Threads
    fmt::fmt)
  add_test(NAME ${program} COMMAND ${program} --cases 1)
  add_test(NAME ${program}_long COMMAND ${program} --cases 12)
  set_tests_properties(${program} PROPERTIES LABELS conformance TIMEOUT 900)
  set_tests_properties(${program}_long PROPERTIES LABELS "conformance;long" TIMEOUT 5400)
endfunction()
ss_gpu_under(address sm_80 "${shim_files}")
ss_gpu_under(thread gfx90a $<TARGET_OBJECTS:gpu_shim_beside_thread>)
# Each sanitizer must report a mistake of its kind.
add_test(NAME gpu_under_thread_reports COMMAND gpu_under_thread --plant missing-barrier)
add_test(NAME gpu_under_thread_reports_in_warp COMMAND gpu_under_thread --plant missing-warp-barrier)
set_tests_properties(gpu_under_thread_reports PROPERTIES
  PASS_REGULAR_EXPRESSION "data race [^\n]* in missing_barrier_kernel" LABELS conformance)
set_tests_properties(gpu_under_thread_reports_in_warp PROPERTIES
  PASS_REGULAR_EXPRESSION "data race [^\n]* in missing_warp_barrier_kernel" LABELS conformance)
add_test(NAME gpu_under_address_reports COMMAND gpu_under_address --plant past-the-end)
set_tests_properties(gpu_under_address_reports PROPERTIES
  PASS_REGULAR_EXPRESSION "heap-buffer-overflow" LABELS conformance)
