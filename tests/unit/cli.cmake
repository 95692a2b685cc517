# SPDX-License-Identifier: Apache-2.0
foreach(name cli_parse cli_help output output_error)
  nt_add_unit_test(${name} LIBRARIES nt_core)
endforeach()
