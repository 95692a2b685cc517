# SPDX-License-Identifier: Apache-2.0
# nt_add_plugin(NAME SOURCES … [LIBRARIES …]): one shared object that exports nt_plugin_v1, its manifest, its install.

function(nt_add_plugin name)
  cmake_parse_arguments(P "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_library(plugin_${name} MODULE ${P_SOURCES})
  target_link_libraries(plugin_${name} PRIVATE nt_sdk ${P_LIBRARIES})
  target_include_directories(plugin_${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(plugin_${name} PROPERTIES
    PREFIX "" OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/nanoterm/plugins)
  target_link_options(plugin_${name} PRIVATE -Wl,--exclude-libs,ALL -Wl,--build-id=sha1)
  # The program itself reads the tables and checks them; a bad table stops the build with the row's name.
  add_custom_command(TARGET plugin_${name} POST_BUILD
    COMMAND nanoterm --internal-manifest $<TARGET_FILE:plugin_${name}>
            ${CMAKE_BINARY_DIR}/lib/nanoterm/plugins/${name}.json
    VERBATIM)
  add_dependencies(plugin_${name} nanoterm)
  install(TARGETS plugin_${name} LIBRARY DESTINATION ${NT_PLUGIN_DIR})
  install(FILES ${CMAKE_BINARY_DIR}/lib/nanoterm/plugins/${name}.json DESTINATION ${NT_PLUGIN_DIR})
endfunction()
