# The handler that runs inside VMs: one static program, and the packages that the guest agent unpacks.
#
#   build/bin/extensions/PUBLISHER.TYPE_VERSION.zip       bin/docker-extension and HandlerManifest.json
#   build/test/extensions/PUBLISHER.TYPE_VERSION.zip      the same under a higher version, to test an upgrade
#
# The versions stand here and nowhere else.
set(BERTH_EXTENSION_VERSION 1.3.0)
set(BERTH_EXTENSION_NEXT_VERSION 1.3.1)
set(BERTH_EXTENSION_CLASSIC_VERSION 0.7.0)
set(BERTH_EXTENSION_NAME Microsoft.Azure.Extensions.DockerExtension)
set(BERTH_EXTENSION_CLASSIC_NAME MSOpenTech.Extensions.DockerExtension)

if(CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize" OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  # Sanitizers need the shared C library: a program to try by hand, and nothing to pack.
  add_executable(docker-extension docker_extension.cpp)
  target_link_libraries(docker-extension PRIVATE berth_extension)
  target_compile_definitions(docker-extension PRIVATE BERTH_EXTENSION_VERSION="${BERTH_EXTENSION_VERSION}")
  return()
endif()

# The modules as they are everywhere, in a static program; of fmt the distribution has no archive.
add_executable(docker-extension docker_extension.cpp static_fmt.cpp)
set_target_properties(docker-extension PROPERTIES UNITY_BUILD OFF)
# Without a fixed separator fmt brings half a megabyte of locales.
set_source_files_properties(static_fmt.cpp PROPERTIES COMPILE_DEFINITIONS FMT_STATIC_THOUSANDS_SEPARATOR=',')
target_include_directories(docker-extension PRIVATE ${CMAKE_SOURCE_DIR}/src)
set(archives)
foreach(module IN ITEMS extension crypto host base)
  list(APPEND archives $<TARGET_FILE:berth_${module}>)  # by file: what a module links elsewhere is shared
  add_dependencies(docker-extension berth_${module})
endforeach()

find_library(BERTH_STATIC_SSL libssl.a REQUIRED)
find_library(BERTH_STATIC_CRYPTO libcrypto.a REQUIRED)
# No exception passes through OpenSSL, so its unwinding tables (an eighth of the program) stay behind.
set(lean)
foreach(archive IN ITEMS ${BERTH_STATIC_SSL} ${BERTH_STATIC_CRYPTO})
  get_filename_component(name ${archive} NAME)
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/lean/${name}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/lean
    COMMAND ${CMAKE_OBJCOPY} --remove-section=.eh_frame --remove-section=.rela.eh_frame ${archive} ${CMAKE_CURRENT_BINARY_DIR}/lean/${name}
    DEPENDS ${archive} VERBATIM)
  list(APPEND lean ${CMAKE_CURRENT_BINARY_DIR}/lean/${name})
endforeach()
add_custom_target(docker_extension_openssl DEPENDS ${lean})
add_dependencies(docker-extension docker_extension_openssl)
target_compile_definitions(docker-extension PRIVATE BERTH_EXTENSION_VERSION="${BERTH_EXTENSION_VERSION}")
target_link_libraries(docker-extension PRIVATE ${archives} ${lean})
target_link_options(docker-extension PRIVATE -static -s -Wl,--gc-sections)

# What is packed; cmake's own tar writes zip files and keeps the executable bit.
set(tree ${CMAKE_CURRENT_BINARY_DIR}/docker-extension-package)
add_custom_command(OUTPUT ${tree}/HandlerManifest.json ${tree}/bin/docker-extension
  COMMAND ${CMAKE_COMMAND} -E make_directory ${tree}/bin
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:docker-extension> ${tree}/bin/docker-extension
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/src/extension/package/HandlerManifest.json ${tree}
  DEPENDS docker-extension ${CMAKE_SOURCE_DIR}/src/extension/package/HandlerManifest.json VERBATIM)
set(packages)
function(berth_extension_package folder name version)
  set(zip ${folder}/${name}_${version}.zip)
  add_custom_command(OUTPUT ${zip}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
    COMMAND ${CMAKE_COMMAND} -E chdir ${tree} ${CMAKE_COMMAND} -E tar cf ${zip} --format=zip --mtime=2024-01-01
            HandlerManifest.json bin/docker-extension
    DEPENDS ${tree}/HandlerManifest.json ${tree}/bin/docker-extension
    COMMENT "Packing ${name} ${version}" VERBATIM)
  set(packages ${packages} ${zip} PARENT_SCOPE)
endfunction()
berth_extension_package(${CMAKE_BINARY_DIR}/bin/extensions ${BERTH_EXTENSION_NAME} ${BERTH_EXTENSION_VERSION})
berth_extension_package(${CMAKE_BINARY_DIR}/bin/extensions ${BERTH_EXTENSION_CLASSIC_NAME} ${BERTH_EXTENSION_CLASSIC_VERSION})
berth_extension_package(${CMAKE_BINARY_DIR}/test/extensions ${BERTH_EXTENSION_NAME} ${BERTH_EXTENSION_NEXT_VERSION})
add_custom_target(extension-packages ALL DEPENDS ${packages})
