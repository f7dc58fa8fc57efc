# The handlers that run inside VMs: static programs, and the packages that the guest agent unpacks.
#
#   build/bin/extensions/PUBLISHER.TYPE_VERSION.zip       bin/PROGRAM and HandlerManifest.json
#   build/test/extensions/PUBLISHER.TYPE_VERSION.zip      the same under a higher version, to test an upgrade
#
# The versions stand here and nowhere else.

if(CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize" OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  set(BERTH_STATIC_HANDLERS OFF)  # sanitizers need the shared C library: programs to try by hand, and nothing to pack
else()
  set(BERTH_STATIC_HANDLERS ON)
  # Of fmt the distribution has no archive. Without a fixed separator fmt brings half a megabyte of locales.
  add_library(static_fmt OBJECT static_fmt.cpp)
  set_target_properties(static_fmt PROPERTIES UNITY_BUILD OFF)
  target_compile_definitions(static_fmt PRIVATE FMT_STATIC_THOUSANDS_SEPARATOR=',')
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
  add_custom_target(lean_openssl DEPENDS ${lean})
  add_custom_target(extension-packages ALL)
endif()

# berth_handler(<program> <source> <version> <modules from above to below>…) The modules as they are everywhere, in a static program.
function(berth_handler program source version)
  add_executable(${program} ${source})
  target_compile_definitions(${program} PRIVATE BERTH_EXTENSION_VERSION="${version}")
  if(NOT BERTH_STATIC_HANDLERS)
    list(GET ARGN 0 top)
    target_link_libraries(${program} PRIVATE berth_${top})
    return()
  endif()
  set_target_properties(${program} PROPERTIES UNITY_BUILD OFF)
  target_include_directories(${program} PRIVATE ${CMAKE_SOURCE_DIR}/src)
  set(archives)
  foreach(module IN ITEMS ${ARGN})
    list(APPEND archives $<TARGET_FILE:berth_${module}>)  # by file: what a module links elsewhere is shared
    add_dependencies(${program} berth_${module})
  endforeach()
  add_dependencies(${program} lean_openssl)
  target_link_libraries(${program} PRIVATE static_fmt ${archives} ${lean})
  target_link_options(${program} PRIVATE -static -s -Wl,--gc-sections)
endfunction()

# berth_handler_package(<program> <folder below the build> <publisher.type> <version> <manifest>) cmake's own tar writes zip files and
# keeps the executable bit.
function(berth_handler_package program folder name version manifest)
  if(NOT BERTH_STATIC_HANDLERS)
    return()
  endif()
  set(tree ${CMAKE_CURRENT_BINARY_DIR}/packages/${name}_${version})
  set(zip ${CMAKE_BINARY_DIR}/${folder}/${name}_${version}.zip)
  add_custom_command(OUTPUT ${zip}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${tree}/bin ${CMAKE_BINARY_DIR}/${folder}
    COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:${program}> ${tree}/bin/${program}
    COMMAND ${CMAKE_COMMAND} -E copy ${manifest} ${tree}/HandlerManifest.json
    COMMAND ${CMAKE_COMMAND} -E chdir ${tree} ${CMAKE_COMMAND} -E tar cf ${zip} --format=zip --mtime=2024-01-01
            HandlerManifest.json bin/${program}
    DEPENDS ${program} ${manifest} COMMENT "Packing ${name} ${version}" VERBATIM)
  string(MAKE_C_IDENTIFIER ${name}_${version} target)
  add_custom_target(pack_${target} DEPENDS ${zip})
  add_dependencies(extension-packages pack_${target})
endfunction()

set(manifest ${CMAKE_SOURCE_DIR}/src/extension/package/HandlerManifest.json)
berth_handler(docker-extension docker_extension.cpp 1.3.0 extension handler crypto model host base)
berth_handler_package(docker-extension bin/extensions Microsoft.Azure.Extensions.DockerExtension 1.3.0 ${manifest})
berth_handler_package(docker-extension bin/extensions MSOpenTech.Extensions.DockerExtension 0.7.0 ${manifest})
berth_handler_package(docker-extension test/extensions Microsoft.Azure.Extensions.DockerExtension 1.3.1 ${manifest})

set(manifest ${CMAKE_SOURCE_DIR}/src/scripts/package/HandlerManifest.json)
berth_handler(script-extension script_extension.cpp 2.1.0 scripts handler crypto host base)
foreach(package IN ITEMS Microsoft.Azure.Extensions.CustomScript:2.0.7 Microsoft.Azure.Extensions.CustomScript:2.1.10
        Microsoft.OSTCExtensions.CustomScriptForLinux:1.5.5 Microsoft.CPlat.Core.RunCommandLinux:1.0.5)
  string(REPLACE ":" ";" package ${package})
  list(GET package 0 name)
  list(GET package 1 version)
  berth_handler_package(script-extension bin/extensions ${name} ${version} ${manifest})
endforeach()

set(manifest ${CMAKE_SOURCE_DIR}/src/vm_access/package/HandlerManifest.json)
berth_handler(vm-access-extension vm_access_extension.cpp 1.5.0 vm_access handler crypto host base)
berth_handler_package(vm-access-extension bin/extensions Microsoft.OSTCExtensions.VMAccessForLinux 1.5.25 ${manifest})
