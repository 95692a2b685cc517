# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(serve_http LIBRARIES nt_serve)
nt_add_unit_test(serve_json LIBRARIES nt_serve)
nt_add_unit_test(serve_store LIBRARIES nt_serve)
nt_add_unit_test(serve_api SOURCES serve_engine.c LIBRARIES nt_serve)
nt_add_unit_test(serve_openapi LIBRARIES nt_serve)
nt_add_unit_test(serve_files LIBRARIES nt_serve)
nt_add_unit_test(serve_monitor SOURCES serve_monitor_fake.c LIBRARIES nt_serve)
nt_add_unit_test(serve_drop LIBRARIES nt_serve)
