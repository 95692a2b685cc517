# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(net_loop LIBRARIES nt_net SOURCES net_peer.c)
nt_add_unit_test(net_http LIBRARIES nt_net SOURCES net_peer.c)
nt_add_unit_test(net_ws LIBRARIES nt_net SOURCES net_peer.c)
include(${CMAKE_SOURCE_DIR}/plugins/serve/way-out/sources.cmake)
nt_add_unit_test(net_way_out LIBRARIES nt_net PkgConfig::JANSSON SOURCES net_peer.c ${WAY_OUT_SOURCES})
