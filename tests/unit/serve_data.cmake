# SPDX-License-Identifier: Apache-2.0
# The pieces of the server's data handlers that need no server.
set(SERVE_DATA_API ${CMAKE_SOURCE_DIR}/plugins/serve/api)
nt_add_unit_test(serve_data_text
  SOURCES ${SERVE_DATA_API}/utf8_text.c ${SERVE_DATA_API}/file_json.c
  LIBRARIES nt_sdk PkgConfig::JANSSON)
nt_add_unit_test(serve_data_clone_url
  SOURCES ${SERVE_DATA_API}/clone_url.c
  LIBRARIES nt_sdk)
nt_add_unit_test(serve_data_exec
  SOURCES ${SERVE_DATA_API}/exec_spec.c ${SERVE_DATA_API}/exec_env.c ${SERVE_DATA_API}/guest_fields.c
  LIBRARIES nt_sdk PkgConfig::JANSSON PkgConfig::UV)
nt_add_unit_test(serve_data_handlers
  SOURCES serve_data_stage.c $<TARGET_OBJECTS:nt_serve_data> ${CMAKE_SOURCE_DIR}/plugins/serve/http/json_text.c
  LIBRARIES nt_copy nt_sdk PkgConfig::JANSSON PkgConfig::UV PkgConfig::SODIUM)
