# The cpu backend with its conformance suite for AArch64, by a cross compiler that has no library but the C++ one: fmt is
# used as headers, and what of lib/core needs OpenSSL or JSON is left out. run.sh configures this, with
# -DSECONDSOURCE_AARCH64_CHECK=ON.
find_package(Threads REQUIRED)

# Only fmt's folder: the other headers of this machine are not those of the target.
if(NOT EXISTS ${CMAKE_BINARY_DIR}/headers/fmt)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/headers)
  file(CREATE_LINK ${FMT_HEADERS} ${CMAKE_BINARY_DIR}/headers/fmt SYMBOLIC)
endif()
add_library(fmt::fmt INTERFACE IMPORTED)
target_include_directories(fmt::fmt INTERFACE ${CMAKE_BINARY_DIR}/headers)
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)

set(core ${CMAKE_SOURCE_DIR}/lib/core)
ss_add_library(core SOURCES ${core}/check.cpp ${core}/clock.cpp ${core}/dtype.cpp ${core}/file.cpp ${core}/folder.cpp
  ${core}/remembered_hashes.cpp ${core}/result.cpp ${core}/shape.cpp ${core}/shared_library.cpp ${core}/shared_lines.cpp
  ${core}/staging.cpp ${core}/units.cpp ${core}/utf8.cpp
  ${CMAKE_SOURCE_DIR}/tests/aarch64/no_openssl.cpp DEPENDS fmt::fmt Threads::Threads)
add_subdirectory(lib/backend)
add_subdirectory(lib/backend_kit)
add_subdirectory(backends/reference)
add_subdirectory(backends/cpu)

set(suite ${CMAKE_SOURCE_DIR}/tests/conformance)
file(GLOB cases ${suite}/cases_*.cpp)
add_executable(conformance_aarch64 tests/aarch64/conformance_main.cpp ${cases} ${suite}/build.cpp ${suite}/dice.cpp
  ${suite}/envelope.cpp ${suite}/protocol.cpp ${suite}/run_case.cpp ${suite}/suite.cpp ${suite}/tolerance.cpp)
target_include_directories(conformance_aarch64 PRIVATE tests backends)
target_link_libraries(conformance_aarch64 PRIVATE secondsource_cpu secondsource_reference_arithmetic secondsource_flags)
# As in tests/conformance: numbers without fused multiply-adds, so that a seed means the same case everywhere.
ss_compile_with(OPTIONS -O3 -ffp-contract=off SOURCES ${suite}/dice.cpp ${suite}/envelope.cpp)
