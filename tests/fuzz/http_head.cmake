# SPDX-License-Identifier: Apache-2.0
set(NT_FUZZ_SECONDS 60 CACHE STRING "How long a fuzz target runs in ctest")
file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/http_head)
add_executable(http_head_fuzz http_head_fuzz.c ${CMAKE_SOURCE_DIR}/core/net/http_parse.c ${CMAKE_SOURCE_DIR}/sdk/buf.c)
target_link_libraries(http_head_fuzz PRIVATE nt_abi PkgConfig::UV ${HTTP_PARSER_LIBRARY})
target_include_directories(http_head_fuzz PRIVATE ${CMAKE_SOURCE_DIR} ${HTTP_PARSER_INCLUDE})
target_compile_options(http_head_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
target_link_options(http_head_fuzz PRIVATE -fsanitize=fuzzer,address,undefined)
add_test(NAME fuzz.http_head
         COMMAND http_head_fuzz -max_total_time=${NT_FUZZ_SECONDS} -max_len=8192 ${CMAKE_CURRENT_BINARY_DIR}/http_head
                 ${CMAKE_CURRENT_SOURCE_DIR}/seeds/http_head)
math(EXPR http_head_timeout "${NT_FUZZ_SECONDS} + 60")
set_tests_properties(fuzz.http_head PROPERTIES TIMEOUT ${http_head_timeout} LABELS fuzz)
