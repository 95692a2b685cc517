# SPDX-License-Identifier: Apache-2.0
# The loader's pieces that need no compiled plugin; those that do are in tests/abi.
nt_add_unit_test(plugin_check LIBRARIES nt_core nt_api)
nt_add_unit_test(plugin_shape LIBRARIES nt_core nt_api)
nt_add_unit_test(plugin_own LIBRARIES nt_core nt_api)
nt_add_unit_test(confine LIBRARIES nt_core nt_api)
