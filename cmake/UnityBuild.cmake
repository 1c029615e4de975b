# Compiles the sources of a library, program or test in groups, so that a group reads its headers once: a build from scratch takes
# less than two thirds of the time. All presets do so except dev, with which ./dev lint parses every changed file alone to find those
# that do not include what they use. Names in the unnamed namespaces of one target must differ, unless they are functions
# whose parameters are of our own types and do not convert into one another.
#   ss_build_in_groups(<target>)

option(SECONDSOURCE_UNITY_BUILD "Compile the sources of each library in groups" OFF)

function(ss_build_in_groups target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${SECONDSOURCE_UNITY_BUILD} UNITY_BUILD_BATCH_SIZE 16)
  if(SECONDSOURCE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ treats the files of a group as headers, and would warn of their types that use an unnamed namespace.
    target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
      # In a group g++ inlines more, and then reports the alternative that a std::variant does not hold as uninitialized (GCC bug
      # 80635). The preset dev, which compiles each file alone, keeps the warning.
      target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
    endif()
  endif()
endfunction()
