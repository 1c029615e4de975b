# With SECONDSOURCE_OWN_LIBRARIES the installation holds the shared libraries that the program and its modules need, so that
# it runs where none of them is installed. The Python wheel is built in this way. Libraries that a manylinux tag promises on
# every machine are left out, and auditwheel checks the wheel (./dev release). Needs patchelf.

option(SECONDSOURCE_OWN_LIBRARIES "Install the shared libraries that the program needs with it" OFF)
if(NOT SECONDSOURCE_OWN_LIBRARIES)
  function(ss_install_own_libraries)
  endfunction()
  return()
endif()

find_program(SECONDSOURCE_PATCHELF patchelf REQUIRED)
set(SECONDSOURCE_DEPENDENCY_SET RUNTIME_DEPENDENCY_SET own_libraries)
set(ss_own_folder secondsource/libraries)
set(SECONDSOURCE_PROGRAM_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}/${ss_own_folder}")
set(SECONDSOURCE_MODULE_RPATH "$ORIGIN/libraries")

function(ss_install_own_libraries)
  set(folder ${CMAKE_INSTALL_LIBDIR}/${ss_own_folder})
  install(RUNTIME_DEPENDENCY_SET own_libraries DESTINATION ${folder} COMPONENT program
    PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|util|resolv|stdc\\+\\+|gcc_s)\\.so")
  # Lets the libraries find each other, and installs the licence of each package that they come from.
  install(CODE "
    set(installed \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
    # A wheel has no symbolic links: each library gets the name by which the loader asks for it.
    file(GLOB links \"\${installed}/${folder}/*.so*\")
    foreach(link IN LISTS links)
      if(IS_SYMLINK \${link})
        file(READ_SYMLINK \${link} target)
        file(REMOVE \${link})
        if(EXISTS \"\${installed}/${folder}/\${target}\")
          file(RENAME \"\${installed}/${folder}/\${target}\" \${link})
        endif()
      endif()
    endforeach()
    file(GLOB libraries \"\${installed}/${folder}/*.so*\")
    list(LENGTH libraries n_libraries)
    if(n_libraries EQUAL 0)
      message(FATAL_ERROR \"no library was installed in \${installed}/${folder}\")
    endif()
    find_program(dpkg_query dpkg-query)
    foreach(library IN LISTS libraries)
      execute_process(COMMAND ${SECONDSOURCE_PATCHELF} --set-rpath \"\$ORIGIN\" \${library} COMMAND_ERROR_IS_FATAL ANY)
      get_filename_component(name \${library} NAME)
      if(dpkg_query)
        execute_process(COMMAND \${dpkg_query} -S \"*/\${name}\" OUTPUT_VARIABLE owner ERROR_QUIET)
        if(owner MATCHES \"^([^:, ]+)\")
          set(package \${CMAKE_MATCH_1})
          file(COPY_FILE /usr/share/doc/\${package}/copyright
            \"\${installed}/${folder}/\${package}.copyright\" RESULT ignored)
        endif()
      endif()
    endforeach()
  " COMPONENT program)
endfunction()
