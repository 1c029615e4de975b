# Kernels of backends/gpu, compiled by a vendor's compiler in commands of their own: CMake 3.25 knows neither nvcc 13's
# C++20 nor Debian's HIP package. The compiler's log (NAME.log) and the machine code (PTX, or AMD's assembly) are kept in
# ${CMAKE_BINARY_DIR}/gpu-code/<name>, where tests/codegen reads them.
#   ss_gpu_kernel_files(<variable>)                          the kernel files; empty if backends/gpu has been removed
#   ss_compile_gpu_kernels(<name> <variable> <compiler> <options>...)      compiles all of them to objects
#   ss_assemble_gpu_kernels(<name> <variable> <compiler> <options>...)     makes assembly only, for targets that cannot be linked
#   ss_compile_listed_gpu_kernels(<name> <variable> "<file>;..." <compiler> <options>...)  compiles these alone, for a module
#     that differs from another one in a compile-time choice of a few files

function(ss_gpu_kernel_files variable)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/backends/gpu/kernels/*.cpp)
  set(${variable} ${files} PARENT_SCOPE)
endfunction()

# Adds what takes minutes and only a change of the GPU code can affect: kernels with planted bugs and under the sanitizers, conformance
# in every tile shape (tests/gpu), assembly for AMD GPUs for which the distribution's hipcc cannot link (backends/hip).
option(SECONDSOURCE_GPU_AT_LENGTH "Build and test the GPU kernels at length: ./dev test --gpu" OFF)
option(SECONDSOURCE_GPU_LINE_TABLES "Line tables in the GPU code, with which profilers find the source" ON)

function(ss_gpu_kernel_commands name suffix variable files)
  set(folder ${CMAKE_BINARY_DIR}/gpu-code/${name})
  file(MAKE_DIRECTORY ${folder})
  set(results "")
  foreach(file IN LISTS files)
    get_filename_component(stem ${file} NAME_WE)
    set(result ${folder}/${stem}${suffix})
    add_custom_command(OUTPUT ${result}
      COMMAND ${CMAKE_SOURCE_DIR}/cmake/compile_kernel.sh ${folder}/${stem}.log
        ${ARGN} -std=c++20 -I${CMAKE_SOURCE_DIR}/lib -I${CMAKE_SOURCE_DIR}/backends
        -MD -MF ${result}.d -MT ${result} ${file} -o ${result}
      DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/compile_kernel.sh
      DEPFILE ${result}.d
      WORKING_DIRECTORY ${folder}
      COMMENT "Compiling ${stem} for ${name}"
      VERBATIM)
    list(APPEND results ${result})
  endforeach()
  set(${variable} ${results} PARENT_SCOPE)
endfunction()

macro(ss_compile_listed_gpu_kernels name variable files)
  ss_gpu_kernel_commands(${name} .o ${variable} "${files}" ${ARGN} -c)
endmacro()

macro(ss_compile_gpu_kernels name variable)
  ss_gpu_kernel_files(ss_all_kernel_files)
  ss_gpu_kernel_commands(${name} .o ${variable} "${ss_all_kernel_files}" ${ARGN} -c)
endmacro()

macro(ss_assemble_gpu_kernels name variable)
  ss_gpu_kernel_files(ss_all_kernel_files)
  ss_gpu_kernel_commands(${name} .s ${variable} "${ss_all_kernel_files}" ${ARGN} -S)
endmacro()
