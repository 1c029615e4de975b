# What `cmake --install`, the Debian package and the Python wheel hold beside the program and its modules. Components:
#   program      the program, its modules and its data; all that the wheel has
#   development  headers and libraries for backends outside of this source tree (cmake/secondsource-config.cmake.in)

set(ss_data ${CMAKE_INSTALL_DATADIR}/secondsource)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/bundles/default ${CMAKE_SOURCE_DIR}/bundles/shapes
  DESTINATION ${ss_data}/bundles COMPONENT program)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/bundles/recipes DESTINATION ${ss_data}/bundles COMPONENT program
  PATTERN __pycache__ EXCLUDE PATTERN test_* EXCLUDE PATTERN ruff.toml EXCLUDE)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/adapters DESTINATION ${ss_data} COMPONENT program PATTERN __pycache__ EXCLUDE)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/prompts DESTINATION ${ss_data} COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/reports/prices.yaml ${CMAKE_SOURCE_DIR}/reports/quoted.yaml
  DESTINATION ${ss_data}/reports COMPONENT program)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/reports/schemas ${CMAKE_SOURCE_DIR}/reports/templates ${CMAKE_SOURCE_DIR}/reports/monitoring
  DESTINATION ${ss_data}/reports COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT program)

# The program of a build tree finds the same data at the same place, ../share/secondsource.
foreach(folder IN ITEMS adapters bundles prompts reports)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/share/secondsource)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${CMAKE_BINARY_DIR}/share/secondsource/${folder} SYMBOLIC)
endforeach()

# Headers and libraries for backends outside of this source tree.
foreach(room IN ITEMS core backend backend_kit)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/lib/${room}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/secondsource/${room}
    COMPONENT development FILES_MATCHING PATTERN *.h)
  install(TARGETS secondsource_${room} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/secondsource COMPONENT development)
endforeach()
# The arithmetic of the reference backend: a new backend can begin with it and replace one operation after another.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/backends/reference/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/secondsource/reference
  COMPONENT development FILES_MATCHING PATTERN *.h)
install(TARGETS secondsource_reference_arithmetic ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/secondsource COMPONENT development)
include(CMakePackageConfigHelpers)
set(ss_config ${CMAKE_INSTALL_LIBDIR}/cmake/secondsource)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/secondsource-config.cmake.in
  ${CMAKE_BINARY_DIR}/secondsource-config.cmake INSTALL_DESTINATION ${ss_config}
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
# Modules are built for one version of the program.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/secondsource-config-version.cmake COMPATIBILITY ExactVersion)
install(FILES ${CMAKE_BINARY_DIR}/secondsource-config.cmake ${CMAKE_BINARY_DIR}/secondsource-config-version.cmake
  ${CMAKE_SOURCE_DIR}/lib/backend/abi.cpp ${CMAKE_SOURCE_DIR}/lib/backend/boundary_hash.cmake
  DESTINATION ${ss_config} COMPONENT development)

set(CPACK_PACKAGE_NAME secondsource)
set(CPACK_PACKAGE_VENDOR "secondsource")
set(CPACK_PACKAGE_CONTACT "the secondsource maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, ninja-build, libfmt-dev, libssl-dev, libyaml-cpp-dev, python3")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
