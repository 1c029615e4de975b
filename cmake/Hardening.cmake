# Builds for users are hardened: a bug in a reader of untrusted files ends the program instead of being exploited.
# tests/build_system checks the finished files; docs/building.md has the cost. Without it: -DSECONDSOURCE_HARDENING=OFF.

option(SECONDSOURCE_HARDENING "Checks of buffers and the stack, and read-only tables, in optimized builds" ON)
# The sanitizers check the same and more, and -D_FORTIFY_SOURCE would hide calls from them.
if(NOT SECONDSOURCE_HARDENING OR SECONDSOURCE_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  return()
endif()

set(SECONDSOURCE_IS_HARDENED TRUE)

include(CheckCXXCompilerFlag)
include(CheckPIESupported)
check_pie_supported()

# Checked copies and formats of the C library. Level 3 also knows sizes that are computed at run time; a C library or
# compiler that has only level 2 takes 3 as 2. The first option prevents a warning where the distribution sets a level of
# its own.
target_compile_options(secondsource_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
# A guard value protects return addresses; large stack frames touch every page; indirect jumps reach only valid targets
# (on AArch64, return addresses are also signed).
foreach(option IN ITEMS -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
  string(MAKE_C_IDENTIFIER "SECONDSOURCE_HAS${option}" has_option)
  check_cxx_compiler_flag(${option} ${has_option})
  if(${has_option})
    target_compile_options(secondsource_flags INTERFACE ${option})
  endif()
endforeach()
# The loader resolves all addresses at the start and then makes the tables that hold them read-only.
target_link_options(secondsource_flags INTERFACE -Wl,-z,relro,-z,now)
