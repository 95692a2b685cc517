# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(cli_parse LIBRARIES nt_core)
