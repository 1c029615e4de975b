# The functions by which every folder defines its targets:
#   ss_add_library(<name> SOURCES ... DEPENDS ...)   lib/<name>   -> secondsource::<name>
#   ss_add_backend(<name> SOURCES ... DEPENDS ...)   backends/<name> -> the module libsecondsource-<name>.so;
#     with FOR_GPU the program's own target does not build it, only `backends` and `all` do: GPU compilers take minutes;
#     with FOR_PROOF it is tested like any other, but not installed and not put beside the program, so that no run uses it
#   ss_backend_option(<name> <needs>), ss_leave_out_backend(<name> <why>)   for a backend whose toolkit may be missing
#   ss_add_test(<name> SOURCES ... DEPENDS ... LABELS ...)   one Catch2 program, one CTest entry
#   ss_tests_wait(<name>...)   says that these tests spend more than two thirds of their time waiting, so that others can compute
#     beside them (tests/slots)

add_library(secondsource_flags INTERFACE)
target_compile_options(secondsource_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
  $<$<BOOL:${SECONDSOURCE_WARNINGS_AS_ERRORS}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  # False alarms of GCC 12 and 13 about std::string and fmt's buffers when they are inlined (GCC bugs 105329, 105651).
  target_compile_options(secondsource_flags INTERFACE -Wno-restrict -Wno-stringop-overflow)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ collects its garbage for the first time at 1 GiB instead of 128 MiB. With 512 MiB, a group of sources took a tenth less CPU time.
  # With 1 GiB, the demo's build took 2.5 % less than with 512 MiB, and its largest compilation 1.6 GB of memory instead of 1.4.
  target_compile_options(secondsource_flags INTERFACE --param=ggc-min-heapsize=1048576)
endif()
# Backends' kernels are optimized in every build type, because they would otherwise be too slow to test. With sanitizers -O3 would
# make g++ 12 take eight times as long for the kernels of one instruction set (130 s instead of 16 s for AVX2), and would check the same accesses.
set(SECONDSOURCE_KERNEL_OPTIMIZATION -O3)
if(SECONDSOURCE_SANITIZE)
  set(SECONDSOURCE_KERNEL_OPTIMIZATION -O1)
  target_compile_options(secondsource_flags INTERFACE
    -fsanitize=${SECONDSOURCE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(secondsource_flags INTERFACE -fsanitize=${SECONDSOURCE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND SECONDSOURCE_SANITIZE MATCHES "address")
    target_compile_definitions(secondsource_flags INTERFACE __SANITIZE_ADDRESS__)  # as g++ defines it by itself
  endif()
endif()

if(SECONDSOURCE_FUZZ)
  # Coverage for libFuzzer everywhere; its main() only where a fuzz target links it.
  target_compile_options(secondsource_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

include(Hardening)
include(PrecompiledHeaders)
include(UnityBuild)
include(LightOptimization)

function(ss_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS")
  set(target secondsource_${name})
  add_library(${target} STATIC ${arg_SOURCES})
  add_library(secondsource::${name} ALIAS ${target})
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR}/lib)
  target_link_libraries(${target} PUBLIC ${arg_DEPENDS} PRIVATE secondsource_flags ${arg_PRIVATE_DEPENDS})
  if(name IN_LIST SECONDSOURCE_LIGHTLY_OPTIMIZED_ROOMS)
    ss_precompile(${target} light_library)
    ss_optimize_lightly(${target})
  else()
    ss_precompile(${target})
  endif()
  ss_build_in_groups(${target})
  if(name IN_LIST SECONDSOURCE_UNFUZZED_ROOMS)
    ss_leave_unoptimized(${target})
  endif()
endfunction()

# Files that a build generates before it compiles the sources that include them. ./dev lint builds this target and not the rest.
add_custom_target(generated_sources)

# The modules that need no GPU, and all that are installed.
add_custom_target(host_backends)
add_custom_target(backends)

function(ss_add_backend name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "FOR_GPU;FOR_PROOF" "" "SOURCES;DEPENDS")
  set(target secondsource_backend_${name})
  add_library(${target} MODULE ${arg_SOURCES})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME secondsource-${name} PREFIX "lib")
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/backends)
  target_link_libraries(${target} PRIVATE secondsource::backend_kit secondsource_flags ${arg_DEPENDS})
  # A module links only to the libraries that it calls, not to all that lib/core needs.
  target_link_options(${target} PRIVATE -Wl,--as-needed)
  if(arg_FOR_PROOF)
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/proof)
  else()
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "${SECONDSOURCE_MODULE_RPATH}")
    set(is_optional "")
    if(arg_FOR_GPU)
      set(is_optional OPTIONAL)  # where the program alone was built
    endif()
    install(TARGETS ${target} ${SECONDSOURCE_DEPENDENCY_SET}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/secondsource COMPONENT program ${is_optional})
    add_dependencies(backends ${target})
    set_property(GLOBAL APPEND PROPERTY SECONDSOURCE_INSTALLED_BACKENDS ${name})
    if(NOT arg_FOR_GPU)
      add_dependencies(host_backends ${target})
    endif()
  endif()
  set_property(GLOBAL APPEND PROPERTY SECONDSOURCE_BACKENDS ${target})
endfunction()

# Declares the option SECONDSOURCE_WITH_<NAME>=AUTO|ON|OFF.
function(ss_backend_option name needs)
  string(TOUPPER SECONDSOURCE_WITH_${name} option)
  set(${option} AUTO CACHE STRING "The ${name} backend, which needs ${needs}: AUTO, ON or OFF")
  set_property(CACHE ${option} PROPERTY STRINGS AUTO ON OFF)
  if(NOT ${option} MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "${option}: expected AUTO, ON or OFF, found \"${${option}}\"")
  endif()
endfunction()

# Reports a backend that is not built: one line at configure time and in `secondsource backends`; an error if its option
# is ON.
function(ss_leave_out_backend name why)
  string(TOUPPER SECONDSOURCE_WITH_${name} option)
  if(${option} STREQUAL "ON")
    message(FATAL_ERROR "backend ${name}: ${why}, and ${option} is ON")
  endif()
  message(STATUS "backend ${name}: not built, ${why}")
  set_property(GLOBAL APPEND_STRING PROPERTY SECONDSOURCE_BACKENDS_LEFT_OUT "{\"${name}\", \"${why}\"}, ")
endfunction()

function(ss_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS;ENVIRONMENT;ARGUMENTS")
  set(target test_${name})
  add_executable(${target} ${arg_SOURCES})
  ss_precompile(${target} test)
  ss_optimize_as_test(${target})
  ss_leave_unoptimized(${target})
  ss_build_in_groups(${target})
  target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${target} PRIVATE ${arg_DEPENDS} secondsource_test_source_path secondsource_test_main secondsource_flags)
  add_test(NAME ${name} COMMAND ${target} ${arg_ARGUMENTS})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
  if(arg_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
  endif()
  # Tests run beside each other and beside other work, which must not make their runs invalid.
  set_tests_properties(${name} PROPERTIES ENVIRONMENT "SECONDSOURCE_NOISE_LIMIT=100;${arg_ENVIRONMENT}")
endfunction()

function(ss_tests_wait)
  set_property(GLOBAL APPEND PROPERTY SECONDSOURCE_WAITING_TESTS ${ARGN})
endfunction()
