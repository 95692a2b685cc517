# SPDX-License-Identifier: Apache-2.0
# The server's side of the guest protocol, for whoever links it (plugins/serve, its tests, its fuzz target).
set(GUEST_CLIENT_SOURCES
  ${CMAKE_SOURCE_DIR}/plugins/serve/guest/client.c
  ${CMAKE_SOURCE_DIR}/plugins/serve/guest/order.c)
