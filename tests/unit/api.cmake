# SPDX-License-Identifier: Apache-2.0
# core/config, core/auth and core/api.
nt_add_unit_test(config LIBRARIES nt_core nt_api)
nt_add_unit_test(api_retry LIBRARIES nt_core nt_api)
nt_add_unit_test(api_talk LIBRARIES nt_core nt_api Threads::Threads)
nt_add_unit_test(api_local LIBRARIES nt_core nt_api)
