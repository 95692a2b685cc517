# SPDX-License-Identifier: Apache-2.0
# staged.cmake - CPack runs it on the files of all packages, before they are packed: what Debian's policy asks of files, and
# `cmake --install` does not do. Pages and changes are compressed without a time, so that a build can be repeated.
find_program(GZIP gzip REQUIRED)
find_program(STRIP strip REQUIRED)
foreach(pattern man/*.1 doc/*/changelog.Debian)
  file(GLOB_RECURSE found ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/${pattern})
  foreach(file IN LISTS found)
    execute_process(COMMAND ${GZIP} -9nf ${file} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endforeach()
file(GLOB_RECURSE libraries ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*.a)
foreach(library IN LISTS libraries)
  execute_process(COMMAND ${STRIP} --strip-debug --enable-deterministic-archives ${library} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
