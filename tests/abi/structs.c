/* SPDX-License-Identifier: Apache-2.0 */
/* structs.c - one function per public struct, so that abidiff sees them all. Compiled with the
 * headers of 1.0, with today's, and with changed copies. */
#include "nanoterm/engine.h"
#include "nanoterm/guest.h"
#include "nanoterm/host.h"
#include "nanoterm/local.h"
#include "nanoterm/plugin.h"

#define SEE(type)                                                                                  \
    NT_EXPORT void see_##type(struct type *p);                                                     \
    void see_##type(struct type *p)                                                                \
    {                                                                                              \
        (void)p;                                                                                   \
    }

SEE(nt_error)
SEE(nt_bytes)
SEE(nt_table)
SEE(nt_stream)
SEE(nt_stream_events)
SEE(nt_stream_ops)
SEE(nt_loop)
SEE(nt_loop_ops)
SEE(nt_arg)
SEE(nt_opt)
SEE(nt_example)
SEE(nt_column)
SEE(nt_alias)
SEE(nt_error_row)
SEE(nt_command)
SEE(nt_group)
SEE(nt_service)
SEE(nt_plugin)
SEE(nt_call)
SEE(nt_header)
SEE(nt_request)
SEE(nt_response)
SEE(nt_open)
SEE(nt_value)
SEE(nt_host)
SEE(nt_engine_spec)
SEE(nt_engine_state)
SEE(nt_engine_result)
SEE(nt_engine_call)
SEE(nt_engine_event)
SEE(nt_engine_host)
SEE(nt_engine_ops)
