# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(enforce LIBRARIES nt_enforce Threads::Threads)
set(explain ${CMAKE_SOURCE_DIR}/plugins/sandbox-enforce/explain)
nt_add_unit_test(enforce_trace SOURCES ${explain}/trace.c ${explain}/trace_text.c ${explain}/trace_dns.c LIBRARIES nt_abi)
nt_add_unit_test(enforce_denials LIBRARIES nt_explain)
nt_add_unit_test(enforce_namespaces LIBRARIES nt_enforce)
nt_add_unit_test(enforce_filter LIBRARIES nt_enforce)
nt_add_unit_test(enforce_policy LIBRARIES nt_policy)
nt_add_unit_test(enforce_notify SOURCES enforce_notify_stage.c LIBRARIES nt_notify)
