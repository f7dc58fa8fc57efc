# `cpack` in a build of preset release makes berth_VERSION_amd64.deb: what `cmake --install` installs, below /usr. It needs the
# packages of kind "run", and the libraries that the programs are linked with.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_CONTACT "The Berth maintainers")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
file(STRINGS ${CMAKE_SOURCE_DIR}/scripts/packages.txt needed REGEX "^run ")
list(TRANSFORM needed REPLACE "^run +" "")
list(JOIN needed ", " CPACK_DEBIAN_PACKAGE_DEPENDS)
include(CPack)
