# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(net_loop LIBRARIES nt_net SOURCES net_peer.c)
nt_add_unit_test(net_http LIBRARIES nt_net SOURCES net_peer.c)
nt_add_unit_test(net_ws LIBRARIES nt_net SOURCES net_peer.c)
# A resolver of the test's own: a name with an address of each family.
nt_add_unit_test(net_way_out LIBRARIES nt_way_out -Wl,--wrap=getaddrinfo SOURCES net_peer.c)
