# SPDX-License-Identifier: Apache-2.0
# nt_add_plugin(NAME SOURCES … [LIBRARIES …] [PACKAGE …]): one shared object that exports nt_plugin_v1, its manifest, its
# install. PACKAGE is the install component, and with CPack the package, that it belongs to (nanoterm-plugin-NAME).
# The manifest is written by the program itself: it loads the plugin, checks its tables and stops the build with the name
# of the row when one is wrong.

# A version script: also what a static library exports by default visibility stays inside.
set(NT_PLUGIN_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/plugin.map)

function(nt_add_plugin name)
  cmake_parse_arguments(P "" "PACKAGE" "SOURCES;LIBRARIES" ${ARGN})
  if(NOT P_PACKAGE)
    set(P_PACKAGE nanoterm-plugin-${name})
  endif()
  add_library(plugin_${name} MODULE ${P_SOURCES})
  target_link_libraries(plugin_${name} PRIVATE nt_sdk ${P_LIBRARIES})
  target_include_directories(plugin_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(plugin_${name} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name}
    LINK_DEPENDS "${NT_PLUGIN_EXPORTS};${NT_PROGRAM}" # a new program may write another manifest
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/nanoterm/plugins)
  target_link_options(plugin_${name} PRIVATE
    -Wl,--exclude-libs,ALL -Wl,--build-id=sha1 -Wl,--version-script=${NT_PLUGIN_EXPORTS})
  # Leaks at the exit of this short program are those of the linker's own tables; LSan also fails under a debugger.
  add_custom_command(TARGET plugin_${name} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0
            $<TARGET_FILE:nanoterm> --internal-manifest $<TARGET_FILE:plugin_${name}>
            ${CMAKE_BINARY_DIR}/lib/nanoterm/plugins/${name}.manifest
    VERBATIM)
  add_dependencies(plugin_${name} nanoterm)
  set_property(GLOBAL APPEND PROPERTY NT_PLUGINS plugin_${name})
  set_property(GLOBAL APPEND PROPERTY NT_PACKAGE_OF_PLUGINS "${name} ${name} ${P_PACKAGE}")
  install(TARGETS plugin_${name} LIBRARY DESTINATION ${NT_PLUGIN_DIR} COMPONENT ${P_PACKAGE})
  # Written anew for the installed file: `install --strip` changes its size. The program in the build tree does it, as
  # the installed one may lie under DESTDIR.
  install(CODE "
    set(plugin \"${NT_PLUGIN_DIR}/${name}\")
    cmake_path(ABSOLUTE_PATH plugin BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\")
    set(plugin \"\$ENV{DESTDIR}\${plugin}\")
    execute_process(COMMAND \"\${CMAKE_COMMAND}\" -E env ASAN_OPTIONS=detect_leaks=0
      \"$<TARGET_FILE:nanoterm>\" --internal-manifest \"\${plugin}.so\" \"\${plugin}.manifest\"
      COMMAND_ERROR_IS_FATAL ANY)" COMPONENT ${P_PACKAGE})
endfunction()
