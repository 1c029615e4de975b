# Chooses each vendor's compiler and runtime. On a machine with several versions, both come from the same one.
#   ss_find_hip(<why>)         SECONDSOURCE_HIPCC, SECONDSOURCE_HIP_RUNTIME, SECONDSOURCE_HIP_INCLUDE in the cache, and
#                              SECONDSOURCE_HIP_PREFIX; <why>: what is missing, empty when all is there
#   ss_find_hip_targets(<variable> <compiler> <command>...)  in the cache: the GPUs that <command> compiles for
#   ss_find_nvcc(<why>)        SECONDSOURCE_NVCC in the cache: the first nvcc that can compile the kernels; <why> as above
#   ss_choose_cuda_targets(<variable> <why> "<chosen>" "<known>")  the chosen targets, or all, of those that nvcc knows
#   ss_find_cuda_runtime(<why>)  SECONDSOURCE_CUDART, SECONDSOURCE_CUDA_INCLUDE in the cache: those of SECONDSOURCE_NVCC

# Repeats a find_program() or the like whose earlier result may belong to another compiler. A value that a person set is
# kept. The compilers themselves are looked for again only when they are gone, so that a build does not change with PATH.
function(ss_find_anew find variable)
  if(DEFINED CACHE{${variable}} AND NOT "${${variable}}" STREQUAL "${${variable}_FOUND}" AND
      NOT "${${variable}}" MATCHES "-NOTFOUND$")
    return()
  endif()
  unset(${variable} CACHE)
  cmake_language(CALL ${find} ${variable} ${ARGN})
  set(${variable}_FOUND "${${variable}}" CACHE INTERNAL "the value that the search found")
endfunction()

# Prefers a ROCm in a folder of its own to the distribution's: hipcc of $ROCM_PATH, then of /opt/rocm, then of PATH. The
# runtime and the headers are those beside that hipcc, because different versions of ROCm do not fit together.
function(ss_find_hip why)
  set(rocm_folders $ENV{ROCM_PATH} /opt/rocm)
  if(DEFINED SECONDSOURCE_ROCM_FOLDERS)  # set by tests/build_system/toolkits_test.py
    set(rocm_folders ${SECONDSOURCE_ROCM_FOLDERS})
  endif()
  set(places ${rocm_folders})
  list(TRANSFORM places APPEND /bin)
  if(NOT EXISTS "${SECONDSOURCE_HIPCC}")
    ss_find_anew(find_program SECONDSOURCE_HIPCC hipcc PATHS ${places} NO_DEFAULT_PATH DOC "AMD's compiler")
  endif()
  if(NOT SECONDSOURCE_HIPCC)
    ss_find_anew(find_program SECONDSOURCE_HIPCC hipcc DOC "AMD's compiler")
  endif()
  if(NOT SECONDSOURCE_HIPCC)
    set(${why} "hipcc was not found (./dev setup gpu installs it)" PARENT_SCOPE)
    return()
  endif()
  # Look both beside the path that was found and beside the file that it links to: /opt/rocm is often a link.
  get_filename_component(real ${SECONDSOURCE_HIPCC} REALPATH)
  set(prefixes "")
  foreach(hipcc IN ITEMS ${SECONDSOURCE_HIPCC} ${real})
    get_filename_component(folder ${hipcc} DIRECTORY)
    get_filename_component(prefix ${folder} DIRECTORY)
    list(APPEND prefixes ${prefix})
  endforeach()
  list(GET prefixes 0 first_prefix)
  if(first_prefix STREQUAL "/")  # /bin is a link to /usr/bin
    set(first_prefix /usr)
  endif()
  set(SECONDSOURCE_HIP_PREFIX ${first_prefix} PARENT_SCOPE)
  if(first_prefix STREQUAL "/usr")
    # The distribution keeps them in the compiler's default folders.
    ss_find_anew(find_library SECONDSOURCE_HIP_RUNTIME amdhip64)
    ss_find_anew(find_path SECONDSOURCE_HIP_INCLUDE hip/hip_runtime_api.h)
  else()
    ss_find_anew(find_library SECONDSOURCE_HIP_RUNTIME amdhip64 PATHS ${prefixes} PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
    ss_find_anew(find_path SECONDSOURCE_HIP_INCLUDE hip/hip_runtime_api.h PATHS ${prefixes} PATH_SUFFIXES include NO_DEFAULT_PATH)
  endif()
  set(missing "")
  if(NOT SECONDSOURCE_HIP_RUNTIME OR NOT SECONDSOURCE_HIP_INCLUDE)
    set(missing "libamdhip64 or its headers were not found beside ${SECONDSOURCE_HIPCC}")
  endif()
  set(${why} "${missing}" PARENT_SCOPE)
endfunction()

# Finds the GPUs for which a compiler can link code by trying each, once per compiler, unless a person set the variable:
# hipcc 5.2 (Debian 12) links for gfx90a only, hipcc 7.0 for all that are listed here.
function(ss_find_hip_targets variable compiler)
  get_filename_component(compiler ${compiler} REALPATH)  # /opt/rocm may by now link to another version
  if(DEFINED CACHE{${variable}_OF} AND "${${variable}}" STREQUAL "${${variable}_FOUND}" AND
      NOT compiler STREQUAL "${${variable}_OF}")
    unset(${variable} CACHE)
  endif()
  if(NOT DEFINED CACHE{${variable}})
    set(probe ${CMAKE_CURRENT_BINARY_DIR}/probe.cpp)
    file(WRITE ${probe} "#include <hip/hip_runtime.h>\n__global__ void probe_kernel(float* x) { x[blockIdx.x] = 1; }\n")
    set(found "")
    foreach(target IN ITEMS gfx90a gfx942 gfx950 gfx1100)
      execute_process(COMMAND ${ARGN} -x hip --offload-arch=${target} ${probe}
        RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
      if(status EQUAL 0)
        list(APPEND found ${target})
      endif()
    endforeach()
    set(${variable} "${found}" CACHE STRING "GPU targets that ${ARGN} has")
    set(${variable}_FOUND "${found}" CACHE INTERNAL "the value that the search found")
    set(${variable}_OF ${compiler} CACHE INTERNAL "the compiler that was tried")
  endif()
endfunction()

# Takes the first nvcc that knows C++20 (CUDA 12 or newer): on PATH, from ./dev setup gpu, or in the toolkit's usual place.
function(ss_find_nvcc why)
  file(GLOB wheel_folders ${CMAKE_SOURCE_DIR}/build/toolchains/cuda/nvidia/*/bin)  # ./dev setup gpu
  if(DEFINED ENV{CUDA_HOME})
    set(toolkit_folders $ENV{CUDA_HOME}/bin)
  else()
    file(GLOB toolkit_folders /usr/local/cuda*/bin)  # a toolkit may be installed without the link /usr/local/cuda
  endif()
  set_property(GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC "nvcc was not found (./dev setup gpu installs it)")
  if(NOT EXISTS "${SECONDSOURCE_NVCC}")
    ss_find_anew(find_program SECONDSOURCE_NVCC nvcc PATHS ${wheel_folders} ${toolkit_folders} VALIDATOR ss_nvcc_is_fit
      DOC "NVIDIA's compiler")
  endif()
  set(unfit "")
  if(NOT SECONDSOURCE_NVCC)
    get_property(unfit GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC)
  else()
    ss_check_nvcc(${SECONDSOURCE_NVCC} unfit)  # an nvcc that a person named was not checked by the search
  endif()
  set(${why} "${unfit}" PARENT_SCOPE)
endfunction()

function(ss_find_cuda_runtime why)
  # Ask nvcc itself for the toolkit's folder, because the nvcc on PATH may be a script elsewhere.
  execute_process(COMMAND ${SECONDSOURCE_NVCC} --dryrun -x cu /dev/null ERROR_VARIABLE nvcc_settings OUTPUT_QUIET)
  string(REGEX MATCH "TOP=([^\r\n]+)" ignored "${nvcc_settings}")
  set(toolkit "${CMAKE_MATCH_1}")
  ss_find_anew(find_library SECONDSOURCE_CUDART cudart_static NO_DEFAULT_PATH
    PATHS ${toolkit}/lib ${toolkit}/lib64 ${toolkit}/targets/x86_64-linux/lib ${toolkit}/targets/sbsa-linux/lib)
  ss_find_anew(find_path SECONDSOURCE_CUDA_INCLUDE cuda_runtime_api.h NO_DEFAULT_PATH
    PATHS ${toolkit}/include ${toolkit}/targets/x86_64-linux/include ${toolkit}/targets/sbsa-linux/include)
  set(missing "")
  if(NOT SECONDSOURCE_CUDART OR NOT SECONDSOURCE_CUDA_INCLUDE)
    set(missing "the CUDA runtime of ${SECONDSOURCE_NVCC} was not found")
  endif()
  set(${why} "${missing}" PARENT_SCOPE)
endfunction()

function(ss_nvcc_is_fit fit nvcc)
  ss_check_nvcc(${nvcc} unfit)
  if(unfit)
    set(${fit} FALSE PARENT_SCOPE)
    set_property(GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC "${unfit}")
  endif()
endfunction()

# Sets <why> to the reason why this nvcc cannot compile the kernels; empty if it can.
function(ss_check_nvcc nvcc why)
  execute_process(COMMAND ${nvcc} --version OUTPUT_VARIABLE said ERROR_QUIET)
  set(reason "")
  if(NOT said MATCHES "release ([0-9]+)\\.([0-9]+)")
    set(reason "${nvcc} --version does not say which release it is")
  elseif(CMAKE_MATCH_1 LESS 12)
    set(reason "${nvcc} is of CUDA ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}: expected 12 or newer")
  endif()
  set(${why} "${reason}" PARENT_SCOPE)
endfunction()

# Sets <variable> to the targets to make code for: those of the list <chosen> or, if it is empty, all that the project
# supports and <known>, the output of nvcc --list-gpu-code, contains. Sets <why> to the reason why they cannot be built;
# empty if they can.
function(ss_choose_cuda_targets variable why chosen known)
  set(supported 80 89 90a 100a)
  set(available "")
  foreach(target IN LISTS supported)
    string(REGEX MATCH "^[0-9]+" number ${target})
    if("${known}\n" MATCHES "sm_${number}\n")
      list(APPEND available ${target})
    endif()
  endforeach()
  set(reason "")
  set(targets ${available})
  if(chosen)
    set(targets ${chosen})
    foreach(target IN LISTS chosen)
      if(NOT target IN_LIST supported)
        list(JOIN supported ", " expected)
        set(reason "SECONDSOURCE_CUDA_TARGETS: expected some of ${expected}, found ${target}")
      elseif(NOT target IN_LIST available)
        set(reason "it has no target sm_${target}")
      endif()
    endforeach()
  elseif(NOT "80" IN_LIST available)
    set(reason "it has no target sm_80")
  endif()
  set(${variable} "${targets}" PARENT_SCOPE)
  set(${why} "${reason}" PARENT_SCOPE)
endfunction()
