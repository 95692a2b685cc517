# SPDX-License-Identifier: Apache-2.0
# The launcher is the real one; the guest is a small one of the tests.
add_executable(engine_test_guest ${CMAKE_CURRENT_LIST_DIR}/engine_guest.c)
target_link_libraries(engine_test_guest PRIVATE nt_abi)
target_compile_options(engine_test_guest PRIVATE -fno-sanitize=all -fno-pie)
target_link_options(engine_test_guest PRIVATE -static -no-pie -fno-sanitize=all)
set_target_properties(engine_test_guest PROPERTIES POSITION_INDEPENDENT_CODE OFF)

foreach(test engine_native engine_secure engine_image)
  nt_add_unit_test(${test} SOURCES engine_fixture.c engine_loop.c LIBRARIES nt_engine_native Threads::Threads)
  target_compile_definitions(${test}_test PRIVATE NT_TEST_LAUNCH="$<TARGET_FILE:nanoterm-launch>"
                                                  NT_TEST_GUEST="$<TARGET_FILE:engine_test_guest>")
  add_dependencies(${test}_test nanoterm-launch engine_test_guest)
  set_tests_properties(unit.${test} PROPERTIES RESOURCE_LOCK engine) # groups of processes and users are the machine's
endforeach()
