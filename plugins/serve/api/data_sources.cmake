# SPDX-License-Identifier: Apache-2.0
# What happens inside a workspace (programs, processes, files), for the server's own target.
set(DATA_API_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/answer.c
  ${CMAKE_CURRENT_LIST_DIR}/clone.c
  ${CMAKE_CURRENT_LIST_DIR}/clone_url.c
  ${CMAKE_CURRENT_LIST_DIR}/exec.c
  ${CMAKE_CURRENT_LIST_DIR}/exec_env.c
  ${CMAKE_CURRENT_LIST_DIR}/exec_spec.c
  ${CMAKE_CURRENT_LIST_DIR}/exec_wire.c
  ${CMAKE_CURRENT_LIST_DIR}/exec_ws.c
  ${CMAKE_CURRENT_LIST_DIR}/fd.c
  ${CMAKE_CURRENT_LIST_DIR}/file_json.c
  ${CMAKE_CURRENT_LIST_DIR}/file_raw.c
  ${CMAKE_CURRENT_LIST_DIR}/files.c
  ${CMAKE_CURRENT_LIST_DIR}/guest_fields.c
  ${CMAKE_CURRENT_LIST_DIR}/processes.c
  ${CMAKE_CURRENT_LIST_DIR}/utf8_text.c)
