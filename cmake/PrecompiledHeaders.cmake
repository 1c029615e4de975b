# The standard headers, fmt and JSON, which most files or groups of files include and which take longer to read than a usual
# file of ours, are compiled once. None of our own headers is among them: a change to one rebuilds only the files that include it, and
# every clone's precompiled headers are the same to ccache.
# Each file must still include what it uses: ./dev lint parses changed files alone and without precompiled headers, so that a missing
# include is an error.
# g++ uses precompiled headers only with the code generation options and the macros that they were made with; where they do not fit
# it says so. From g++ 14 on, the level of optimization is among these options.
#   ss_add_precompiled_headers(<name> OPTIONS <option>... HEADERS <more> DEPENDS <libraries of those>)
#   ss_precompile(<target> [<name>])   those of that name; by default `library`
#   ss_compile_with(OPTIONS <option>... SOURCES <file>...)   sources with options that the headers were not made with: these are
#                                                            compiled without the headers, since g++ 12 may use them and crash

if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache$")
  # ccache needs this setting (its manual, "Precompiled headers"); without it nothing would be found in the cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_SLOPPINESS=pch_defines,time_macros ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

set(ss_common_headers <fmt/format.h> <algorithm> <array> <cmath> <cstdint> <filesystem> <functional> <map> <memory>
  <optional> <set> <span> <string> <string_view> <utility> <variant> <vector>)

function(ss_add_precompiled_headers name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "OPTIONS;HEADERS;DEPENDS")
  if(CMAKE_DISABLE_PRECOMPILE_HEADERS OR NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  set(target secondsource_headers_${name})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT "// Empty: its target is there for precompiled headers.\n")
  add_library(${target} OBJECT ${source})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)  # the options decide
  target_compile_options(${target} PRIVATE ${arg_OPTIONS} -fpch-preprocess)
  target_link_libraries(${target} PRIVATE fmt::fmt secondsource_flags ${arg_DEPENDS})
  target_precompile_headers(${target} PRIVATE ${ss_common_headers} ${arg_HEADERS})
endfunction()

function(ss_compile_with)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "OPTIONS;SOURCES")
  set_source_files_properties(${arg_SOURCES} PROPERTIES COMPILE_OPTIONS "${arg_OPTIONS}" SKIP_PRECOMPILE_HEADERS ON)
endfunction()

function(ss_precompile target)
  set(name ${ARGN})
  if(NOT name)
    set(name library)
  endif()
  if(TARGET secondsource_headers_${name})
    target_precompile_headers(${target} REUSE_FROM secondsource_headers_${name})
    target_compile_options(${target} PRIVATE -fpch-preprocess)
    if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
      # g++ 12 inlines more of std::string from a precompiled header, and then has more false alarms of the kind that
      # Secondsource.cmake names. The presets of CI keep these warnings.
      target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overread)
    endif()
  endif()
endfunction()

