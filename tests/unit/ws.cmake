# SPDX-License-Identifier: Apache-2.0
# The pieces of the workspace commands that need no server.
nt_add_unit_test(ws_silence SOURCES ${CMAKE_SOURCE_DIR}/plugins/ws/silence.c LIBRARIES nt_abi)
