# SPDX-License-Identifier: Apache-2.0
# The layout of the public structs, 1.0 and 1.1 against today, by abidiff; 77 where it is not installed.
function(abi_structs name include)
  add_library(abi_structs_${name} MODULE structs.c) # a module has no SONAME to differ
  target_include_directories(abi_structs_${name} PRIVATE ${include})
  # The pins of 1.0 stop a changed copy while compiling, which is right; here abidiff is to find it.
  target_compile_options(abi_structs_${name} PRIVATE -g -O0 -fno-sanitize=all ${ARGN})
  target_link_options(abi_structs_${name} PRIVATE -fno-sanitize=all)
endfunction()

# Changed copies prove that the comparison can fail: `grown` appends a member, the others break the rules.
function(abi_changed_copy name from to)
  set(copy ${CMAKE_CURRENT_BINARY_DIR}/${name})
  file(GLOB headers ${CMAKE_CURRENT_SOURCE_DIR}/v1.0/nanoterm/*.h)
  foreach(header ${headers})
    get_filename_component(base ${header} NAME)
    file(READ ${header} text)
    string(REPLACE "${from}" "${to}" text "${text}")
    file(CONFIGURE OUTPUT ${copy}/nanoterm/${base} CONTENT "${text}" @ONLY)
  endforeach()
endfunction()
abi_changed_copy(grown "const char *fields);\n};" "const char *fields);\n    void (*newer)(struct nt_call *call);\n};")
abi_changed_copy(moved "    const char *help;\n    const char *complete;" "    const char *help;\n    uint64_t complete;")
abi_changed_copy(inserted "    const char *help;\n    const char *complete;"
  "    const char *inserted;\n    const char *help;\n    const char *complete;")
abi_changed_copy(signature "(*left_ms)(struct nt_call *call)" "(*left_ms)(struct nt_call *call, int unit)")

set(NO_PINS "-D_Static_assert(a,b)=struct abi_no_pin")
abi_structs(old ${CMAKE_CURRENT_SOURCE_DIR}/v1.0)
abi_structs(second ${CMAKE_CURRENT_SOURCE_DIR}/v1.1)
abi_structs(new ${CMAKE_SOURCE_DIR}/include)
set(ABI_STRUCTS)
foreach(changed grown moved inserted signature)
  abi_structs(${changed} ${CMAKE_CURRENT_BINARY_DIR}/${changed} ${NO_PINS})
  list(APPEND ABI_STRUCTS $<TARGET_FILE:abi_structs_${changed}>)
endforeach()

add_test(NAME abi.diff COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/compare.sh
  $<TARGET_FILE:abi_structs_old> $<TARGET_FILE:abi_structs_new> ${ABI_STRUCTS})
# The changed copies are of 1.0: against 1.1 only what is appended is asked for, once more.
add_test(NAME abi.diff_second COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/compare.sh
  $<TARGET_FILE:abi_structs_second> $<TARGET_FILE:abi_structs_new>)
set_tests_properties(abi.diff abi.diff_second PROPERTIES TIMEOUT 120 LABELS abi SKIP_RETURN_CODE 77)
