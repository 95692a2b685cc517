# SPDX-License-Identifier: Apache-2.0
nt_add_unit_test(enforce LIBRARIES nt_enforce Threads::Threads)
