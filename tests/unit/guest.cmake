# SPDX-License-Identifier: Apache-2.0
foreach(test guest guest_attack guest_terminal guest_jobs guest_search guest_kept guest_log guest_ports)
  nt_add_unit_test(${test} LIBRARIES nt_abi SOURCES guest_harness.c)
  target_compile_definitions(${test}_test PRIVATE NT_TEST_GUEST="$<TARGET_FILE:nanoterm-guest>")
  add_dependencies(${test}_test nanoterm-guest)
endforeach()

nt_add_unit_test(guest_client LIBRARIES nt_guest_client SOURCES guest_client_fake.c)

nt_add_unit_test(guest_ring LIBRARIES nt_sdk SOURCES ${CMAKE_SOURCE_DIR}/plugins/guest/ring.c)

nt_add_unit_test(guest_copy LIBRARIES nt_copy)
