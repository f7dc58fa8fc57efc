# berth_module(<name> SOURCES … [USES …] [HIDES …] [TESTS …] [TEST_USES …])
#
# One static library, berth_<name>, for one folder of src/, and one test program, <name>_test, when
# TESTS are given. USES are libraries that appear in our headers, HIDES those that stay in .cpp files.
# Includes are written from src/: #include "base/error.h".
if(CMAKE_UNITY_BUILD)
  set(BERTH_SHADOW "")  # in one file with others, a local variable may hide a name of another source
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  set(BERTH_SHADOW -Wshadow)
else()
  set(BERTH_SHADOW -Wshadow=local)
endif()

function(berth_warnings target)
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wconversion ${BERTH_SHADOW} -Woverloaded-virtual)
endfunction()

# berth_test(<name> <file>…) A program of unit tests. Sanitizers look at it, too, but nobody waits for it to be optimised.
function(berth_test name)
  add_executable(${name} ${ARGN})
  berth_warnings(${name})
  if(CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize")
    target_compile_options(${name} PRIVATE -O0 -fno-sanitize=fuzzer-no-link)
  endif()
  target_link_libraries(${name} PRIVATE GTest::gmock_main)
endfunction()

function(berth_module name)
  cmake_parse_arguments(PARSE_ARGV 1 M "" "" "SOURCES;USES;HIDES;TESTS;TEST_USES")
  if(M_SOURCES)
    add_library(berth_${name} STATIC ${M_SOURCES})
    target_include_directories(berth_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(berth_${name} PUBLIC ${M_USES} PRIVATE ${M_HIDES})
    berth_warnings(berth_${name})
  else()
    add_library(berth_${name} INTERFACE)
    target_include_directories(berth_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(berth_${name} INTERFACE ${M_USES})
  endif()
  if(M_TESTS AND BUILD_TESTING)
    berth_test(${name}_test ${M_TESTS})
    target_link_libraries(${name}_test PRIVATE berth_${name} ${M_HIDES} ${M_TEST_USES})
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST TEST_PREFIX ${name}. PROPERTIES TIMEOUT 120)
  endif()
endfunction()

# berth_fixtures(<folder below tests/fixtures> TESTS…) tells these files BERTH_FIXTURES. These alone: in another
# checkout a path makes them other files to the compiler cache.
function(berth_fixtures folder)
  set(definition BERTH_FIXTURES="${CMAKE_SOURCE_DIR}/tests/fixtures/${folder}")
  if(CMAKE_UNITY_BUILD)  # a file with a definition of its own would be compiled apart
    get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
    list(FILTER targets INCLUDE REGEX "_test$")
    foreach(target IN LISTS targets)
      target_compile_definitions(${target} PRIVATE ${definition})
    endforeach()
  else()
    set_source_files_properties(${ARGN} PROPERTIES COMPILE_DEFINITIONS ${definition})
  endif()
endfunction()
