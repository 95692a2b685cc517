# SPDX-License-Identifier: Apache-2.0
foreach(name sdk_buf sdk_parse sdk_error sdk_fds sdk_program sdk_relay sdk_term_modes)
  nt_add_unit_test(${name} LIBRARIES nt_sdk)
endforeach()
nt_add_unit_test(sdk_fake_host LIBRARIES nt_fake_host)
nt_add_unit_test(nono_config LIBRARIES nt_sdk)
