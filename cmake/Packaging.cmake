# The data files that `cmake --install` and CPack install with the program, so that its commands find them by name.
install(DIRECTORY ${CMAKE_SOURCE_DIR}/bundles/default ${CMAKE_SOURCE_DIR}/bundles/shapes
  DESTINATION ${CMAKE_INSTALL_DATADIR}/secondsource/bundles)
install(FILES ${CMAKE_SOURCE_DIR}/reports/prices.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/secondsource/reports)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/reports/schemas DESTINATION ${CMAKE_INSTALL_DATADIR}/secondsource/reports)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)

set(CPACK_PACKAGE_NAME secondsource)
set(CPACK_PACKAGE_VENDOR "secondsource")
set(CPACK_PACKAGE_CONTACT "the secondsource maintainers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
include(CPack)
