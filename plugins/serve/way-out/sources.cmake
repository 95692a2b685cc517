# SPDX-License-Identifier: Apache-2.0
# The network way out, for nt_serve and its tests.
set(WAY_OUT_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/address.c ${CMAKE_CURRENT_LIST_DIR}/trip.c ${CMAKE_CURRENT_LIST_DIR}/tunnel.c
  ${CMAKE_CURRENT_LIST_DIR}/way_out.c)
