# Which vendor's compiler and runtime is taken, where a machine has several: those that belong together.
#   ss_find_hip(<why>)         SECONDSOURCE_HIPCC, SECONDSOURCE_HIP_RUNTIME, SECONDSOURCE_HIP_INCLUDE in the cache, and
#                              SECONDSOURCE_HIP_PREFIX; <why>: what is missing, empty when all is there
#   ss_find_nvcc(<why>)        SECONDSOURCE_NVCC in the cache: the first that can compile the kernels; <why> as above

# ROCm in a folder of its own goes before the distribution's: hipcc of $ROCM_PATH, else of /opt/rocm, else of the PATH.
# The runtime and the headers are those beside that hipcc and no others: versions of different ROCms do not fit together.
function(ss_find_hip why)
  set(rocm_folders $ENV{ROCM_PATH} /opt/rocm)
  if(DEFINED SECONDSOURCE_ROCM_FOLDERS)  # the test's
    set(rocm_folders ${SECONDSOURCE_ROCM_FOLDERS})
  endif()
  set(places ${rocm_folders})
  list(TRANSFORM places APPEND /bin)
  find_program(SECONDSOURCE_HIPCC hipcc PATHS ${places} NO_DEFAULT_PATH DOC "AMD's compiler")
  find_program(SECONDSOURCE_HIPCC hipcc)
  if(NOT SECONDSOURCE_HIPCC)
    set(${why} "hipcc was not found (./dev setup gpu installs it)" PARENT_SCOPE)
    return()
  endif()
  # As it was found and without links: /opt/rocm is one, and so was its bin/hipcc.
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
    # The distribution's, in its folder for this architecture.
    find_library(SECONDSOURCE_HIP_RUNTIME amdhip64)
    find_path(SECONDSOURCE_HIP_INCLUDE hip/hip_runtime_api.h)
  else()
    find_library(SECONDSOURCE_HIP_RUNTIME amdhip64 PATHS ${prefixes} PATH_SUFFIXES lib lib64 NO_DEFAULT_PATH)
    find_path(SECONDSOURCE_HIP_INCLUDE hip/hip_runtime_api.h PATHS ${prefixes} PATH_SUFFIXES include NO_DEFAULT_PATH)
  endif()
  set(missing "")
  if(NOT SECONDSOURCE_HIP_RUNTIME OR NOT SECONDSOURCE_HIP_INCLUDE)
    set(missing "libamdhip64 or its headers were not found beside ${SECONDSOURCE_HIPCC}")
  endif()
  set(${why} "${missing}" PARENT_SCOPE)
endfunction()

# The first on the PATH, else of ./dev setup gpu, else of a toolkit's usual place, that knows C++20, which came with 12.
function(ss_find_nvcc why)
  file(GLOB wheel_folders ${CMAKE_SOURCE_DIR}/build/toolchains/cuda/nvidia/*/bin)  # ./dev setup gpu
  set_property(GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC "nvcc was not found (./dev setup gpu installs it)")
  find_program(SECONDSOURCE_NVCC nvcc PATHS ${wheel_folders} /usr/local/cuda/bin VALIDATOR ss_nvcc_is_fit
    DOC "NVIDIA's compiler")
  set(unfit "")
  if(NOT SECONDSOURCE_NVCC)
    get_property(unfit GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC)
  else()
    ss_check_nvcc(${SECONDSOURCE_NVCC} unfit)  # one that was named is not looked for
  endif()
  set(${why} "${unfit}" PARENT_SCOPE)
endfunction()

function(ss_nvcc_is_fit fit nvcc)
  ss_check_nvcc(${nvcc} unfit)
  if(unfit)
    set(${fit} FALSE PARENT_SCOPE)
    set_property(GLOBAL PROPERTY SECONDSOURCE_UNFIT_NVCC "${unfit}")
  endif()
endfunction()

# <why>: why this nvcc cannot compile the kernels; empty when it can.
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
