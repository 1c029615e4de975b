# Compiles a target at -O1 where the preset says -O2: a quarter less time for a build from nothing. For rooms that read and
# write records, decide and render, and for tests: they run for milliseconds. The engine, the kernels, and whatever else
# is timed or loads weights keeps -O2.
#   ss_optimize_lightly(<target>)

set(SECONDSOURCE_LIGHTLY_OPTIMIZED_ROOMS ab brief chat cost fit gate history hub jinja profile record
  recorded report runner setup summary verify)

function(ss_optimize_lightly target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo,Release>:-O1>)
endfunction()
