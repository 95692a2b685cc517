# SPDX-License-Identifier: Apache-2.0
foreach(name cli_call cli_crash cli_help cli_parse output output_error)
  nt_add_unit_test(${name} LIBRARIES nt_core nt_api)
endforeach()
