# The modules with the bugs of planted_bugs.cmake, and the tests that must find them. Each module is gpu-shim with some files changed,
# which come first in the include path; the rest is linked from the libraries.

# The module with all bugs that were named for it.
function(ss_add_gpu_mutant_module module)
  set(folder ${mutant_folder}/${module})
  get_property(target GLOBAL PROPERTY ss_gpu_mutant_${module}_target)
  get_property(compiled GLOBAL PROPERTY ss_gpu_mutant_${module}_compiled)
  get_property(files GLOBAL PROPERTY ss_gpu_mutant_${module}_files)
  list(REMOVE_DUPLICATES files)
  set(source ${CMAKE_SOURCE_DIR}/backends/gpu/${compiled})
  set(all_changed "")
  foreach(file IN LISTS files)
    set(changed ${folder}/include/gpu/${file})
    set(original ${CMAKE_SOURCE_DIR}/backends/gpu/${file})
    add_custom_command(OUTPUT ${changed}
      COMMAND ${CMAKE_COMMAND} -DFILE=${original} -DOUT=${changed} -DPLANTS=${changed}.plants.cmake
        -P ${CMAKE_CURRENT_SOURCE_DIR}/plant.cmake
      DEPENDS ${original} ${changed}.plants.cmake ${CMAKE_CURRENT_SOURCE_DIR}/plant.cmake VERBATIM)
    list(APPEND all_changed ${changed})
    if(compiled STREQUAL file)
      set(source ${changed})
    endif()
  endforeach()
  # What an earlier configuration planted in another file would still come first in the include path.
  file(GLOB_RECURSE stale ${folder}/include/*.h ${folder}/include/*.cpp)
  list(REMOVE_ITEM stale ${all_changed})
  if(stale)
    file(REMOVE ${stale})
  endif()
  set(library gpu_mutant_${module})
  add_library(${library} MODULE ${CMAKE_SOURCE_DIR}/backends/gpu/shim/module.cpp ${source} ${all_changed})
  ss_precompile(${library} light_library)
  target_include_directories(${library} BEFORE PRIVATE ${folder}/include)
  target_include_directories(${library} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_compile_definitions(${library} PRIVATE SS_GPU_SHIM_TARGET_${target})
  # g++ 12 takes two thirds of the time that it takes with -O2. Few emulated threads run before a bug is found.
  target_compile_options(${library} PRIVATE -O1)
  target_link_libraries(${library} PRIVATE secondsource_gpu_host secondsource_gpu_kernels_sm_80
    secondsource_gpu_kernels_sm_90a secondsource_gpu_kernels_gfx90a secondsource_gpu_kernels_gfx942
    secondsource_gpu_kernels_gfx1100 secondsource_gpu_shim fmt::fmt secondsource_flags)
  set_target_properties(${library} PROPERTIES
    OUTPUT_NAME secondsource-gpu-shim PREFIX lib LIBRARY_OUTPUT_DIRECTORY ${folder})
  add_dependencies(test_gpu_mutants ${library})
endfunction()

ss_add_test(gpu_mutants SOURCES mutants_test.cpp workspace_case.cpp TIMEOUT 900
  DEPENDS secondsource_conformance secondsource::backend LABELS conformance)
# planted.txt: a line for each bug, with its name and its module's folder.
target_compile_definitions(test_gpu_mutants PRIVATE SECONDSOURCE_GPU_MUTANTS="${mutant_folder}"
  SECONDSOURCE_GPU_SHIM_FOLDER="$<TARGET_FILE_DIR:secondsource_backend_gpu-shim>")
add_dependencies(test_gpu_mutants secondsource_backend_gpu-shim)

# Whole products at once, and that what is planted is found in them, too.
if(Python3_FOUND AND TARGET kernel_bench)
  add_test(NAME gpu_whole COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/whole_test.py $<TARGET_FILE:kernel_bench>
    $<TARGET_FILE_DIR:secondsource_backend_gpu-shim> ${mutant_folder})
  set_tests_properties(gpu_whole PROPERTIES LABELS conformance TIMEOUT 900 ENVIRONMENT PYTHONDONTWRITEBYTECODE=1)
endif()

foreach(module IN LISTS mutant_modules)
  ss_add_gpu_mutant_module(${module})
endforeach()
get_property(mutant_names GLOBAL PROPERTY ss_gpu_mutant_names)
file(CONFIGURE OUTPUT ${mutant_folder}/planted.txt CONTENT "@mutant_names@" @ONLY)
