# SPDX-License-Identifier: Apache-2.0
# older/: this program as an older version, for the tests of the hand-over between two versions. Its program, api.so and
# serve.so are linked from the same objects; only the sources that mention NT_VERSION are compiled again. Taken before the
# libraries, they keep the linker from the members with the other version.
set(NT_OLDER_VERSION 0.0.9)
set(NT_OLDER ${CMAKE_BINARY_DIR}/older)

# The sources of a target that mention the version.
function(nt_versioned ret target)
  get_target_property(sources ${target} SOURCES)
  get_target_property(folder ${target} SOURCE_DIR)
  set(found)
  foreach(source ${sources})
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${folder})
    cmake_path(IS_PREFIX CMAKE_BINARY_DIR ${source} is_generated) # not there yet; the build can lie in the checkout
    if(source MATCHES "\\.c$" AND NOT is_generated)
      file(STRINGS ${source} lines REGEX NT_VERSION LIMIT_COUNT 1)
      if(lines)
        list(APPEND found ${source})
      endif()
    endif()
  endforeach()
  set(${ret} ${found} PARENT_SCOPE)
endfunction()

# TARGET again as an older version, as ORIGINAL but in FOLDER; LIBRARIES: those of it that mention the version, too.
function(nt_older target original folder)
  get_target_property(libraries ${original} LINK_LIBRARIES)
  get_target_property(options ${original} LINK_OPTIONS)
  get_target_property(sources ${original} SOURCES)
  get_target_property(home ${original} SOURCE_DIR)
  list(TRANSFORM sources PREPEND ${home}/)
  foreach(library ${ARGN})
    nt_versioned(found ${library})
    list(APPEND sources ${found})
  endforeach()
  target_sources(${target} PRIVATE ${sources})
  target_include_directories(${target} PRIVATE $<TARGET_PROPERTY:${original},INCLUDE_DIRECTORIES>)
  target_compile_definitions(${target} PRIVATE NT_VERSION="${NT_OLDER_VERSION}"
    $<FILTER:$<TARGET_PROPERTY:${original},COMPILE_DEFINITIONS>,EXCLUDE,^NT_VERSION=>)
  foreach(library ${libraries})
    target_link_libraries(${target} PRIVATE $<LINK_ONLY:${library}>) # not what it defines
  endforeach()
  if(options)
    target_link_options(${target} PRIVATE ${options})
  endif()
  set_target_properties(${target} PROPERTIES PREFIX ""
    RUNTIME_OUTPUT_DIRECTORY ${folder} LIBRARY_OUTPUT_DIRECTORY ${folder})
endfunction()

set(libexec ${NT_OLDER}/libexec/nanoterm)
set(plugins ${NT_OLDER}/lib/nanoterm/plugins)
add_executable(older_nanoterm)
nt_older(older_nanoterm nanoterm ${NT_OLDER}/bin nt_core)
add_library(older_api MODULE)
nt_older(older_api nanoterm_api ${libexec} nt_api)
add_library(older_serve MODULE)
nt_older(older_serve plugin_serve ${plugins} nt_serve nt_serve_data)
set_target_properties(older_nanoterm PROPERTIES OUTPUT_NAME nanoterm)
set_target_properties(older_api PROPERTIES OUTPUT_NAME api)
set_target_properties(older_serve PROPERTIES OUTPUT_NAME serve)

# What says no version to anybody is the same.
set(copies)
set(manifests)
foreach(plugin serve engine-native ws files)
  if(NOT plugin STREQUAL serve)
    list(APPEND copies COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:plugin_${plugin}> ${plugins})
  endif()
  list(APPEND manifests COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0
    $<TARGET_FILE:older_nanoterm> --internal-manifest ${plugins}/${plugin}.so ${plugins}/${plugin}.manifest)
endforeach()
set(stamp ${CMAKE_CURRENT_BINARY_DIR}/older.stamp)
add_custom_command(OUTPUT ${stamp}
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:nanoterm-guest> $<TARGET_FILE:nanoterm-launch> ${libexec}
  ${copies} ${manifests}
  COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
  DEPENDS older_nanoterm older_api older_serve nanoterm-guest nanoterm-launch plugin_engine-native plugin_ws plugin_files
  VERBATIM)
add_custom_target(older ALL DEPENDS ${stamp})
