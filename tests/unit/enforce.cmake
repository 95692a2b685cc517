# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(enforce LIBRARIES nt_enforce Threads::Threads)
set(explain ${CMAKE_SOURCE_DIR}/plugins/sandbox-enforce/explain)
nt_add_unit_test(enforce_trace SOURCES ${explain}/trace.c ${explain}/trace_text.c ${explain}/trace_dns.c LIBRARIES nt_abi)
nt_add_unit_test(enforce_denials LIBRARIES nt_explain)
nt_add_unit_test(enforce_namespaces LIBRARIES nt_enforce)
nt_add_unit_test(enforce_filter LIBRARIES nt_enforce)
nt_add_unit_test(enforce_policy LIBRARIES nt_policy)
nt_add_unit_test(enforce_endpoint LIBRARIES nt_enforce_proxy)
# A resolver of the test's own: names that change their meaning.
nt_add_unit_test(enforce_proxy SOURCES enforce_proxy_stage.c LIBRARIES nt_enforce_proxy -Wl,--wrap=getaddrinfo)
nt_add_unit_test(enforce_notify SOURCES enforce_notify_stage.c LIBRARIES nt_notify)
nt_add_unit_test(enforce_routes SOURCES enforce_proxy_stage.c LIBRARIES nt_enforce_proxy -Wl,--wrap=getaddrinfo)
# A library under the name of libsecret, for this test alone.
add_library(enforce_secret_fake SHARED enforce_secret_fake.c)
set_target_properties(enforce_secret_fake PROPERTIES OUTPUT_NAME secret-1 SOVERSION 0
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/enforce_secret_fake)
nt_add_unit_test(enforce_secret LIBRARIES nt_enforce_proxy nt_proxy_env)
target_compile_definitions(enforce_secret_test PRIVATE FAKE_FOLDER="${CMAKE_CURRENT_BINARY_DIR}/enforce_secret_fake")
add_dependencies(enforce_secret_test enforce_secret_fake)
nt_add_unit_test(enforce_notify_race SOURCES enforce_notify_stage.c LIBRARIES nt_notify)
nt_add_unit_test(enforce_profile LIBRARIES nt_policy)
nt_add_unit_test(enforce_kernel_audit LIBRARIES nt_explain)
nt_add_unit_test(enforce_matches SOURCES ${CMAKE_SOURCE_DIR}/plugins/sandbox-enforce/supervise/matches.c LIBRARIES nt_policy)
