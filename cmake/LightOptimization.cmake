# Compiles a target with less optimization than its preset says, where compiling takes longer than running.
#   ss_optimize_lightly(<target>)     -O1 instead of -O2: a build from scratch takes a quarter less time. For folders of lib that read
#                                     and write records, decide or render, which takes them milliseconds. The engine, the kernels,
#                                     and whatever else is timed or loads weights keep -O2.
#   ss_optimize_as_test(<target>)     -Og, with which g++ 12 takes three quarters of the time of -O1. For the sources of a test itself; the
#                                     libraries under test keep their own options.
#   ss_leave_unoptimized(<target>)    -O0 in a build with clang's sanitizers. It takes half the time of -O1, where clang spends the other
#                                     half on optimizing the inserted checks. For tests, and for folders of lib without a fuzzed parser:
#                                     with a slower parser, a fuzz target would try fewer inputs.
# SECONDSOURCE_LIGHT_OPTIMIZATION and SECONDSOURCE_TEST_OPTIMIZATION are the options of the first two, for their precompiled headers.

set(SECONDSOURCE_LIGHTLY_OPTIMIZED_ROOMS ab brief chat cost fit gate history hub jinja profile record
  recorded report runner setup summary verify)
set(SECONDSOURCE_UNFUZZED_ROOMS ab brief history host profile sensors setup systems verify)

set(SECONDSOURCE_LIGHT_OPTIMIZATION $<$<CONFIG:RelWithDebInfo,Release>:-O1>)
set(SECONDSOURCE_TEST_OPTIMIZATION $<$<CONFIG:RelWithDebInfo,Release>:-Og>)

function(ss_optimize_lightly target)
  target_compile_options(${target} PRIVATE ${SECONDSOURCE_LIGHT_OPTIMIZATION})
endfunction()

function(ss_optimize_as_test target)
  target_compile_options(${target} PRIVATE ${SECONDSOURCE_TEST_OPTIMIZATION})
endfunction()

function(ss_leave_unoptimized target)
  if(SECONDSOURCE_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()
