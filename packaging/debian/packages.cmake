# SPDX-License-Identifier: Apache-2.0
# packages.cmake - names, texts and relations of the Debian packages. CPack reads it when it runs, after the build: what a
# plugin says of itself is taken from its manifest.
#
# The variables of CPack carry the name of the component in capitals, dashes and all.
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS OFF)
set(abi nanoterm-abi-${CPACK_NT_ABI})
# What is one program in several packages goes together; the plugins of other versions only need the ABI.
set(same "(= ${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})")

# package(NAME SUMMARY TEXT [FIELD VALUE…]): FIELD is what follows CPACK_DEBIAN_<COMPONENT>_PACKAGE_.
macro(package name summary text)
  string(TOUPPER ${name} component)
  set(CPACK_DEBIAN_${component}_PACKAGE_NAME ${name})
  set(CPACK_DEBIAN_${component}_PACKAGE_SECTION utils)
  set(CPACK_COMPONENT_${component}_DESCRIPTION "${summary}\n${text}")
  set(fields ${ARGN})
  while(fields)
    list(POP_FRONT fields field value)
    set(CPACK_DEBIAN_${component}_PACKAGE_${field} ${value})
  endwhile()
endmacro()

package(nanoterm "safe places to run things in: the program"
  "nanoterm gives a person or a coding agent workspaces: long-lived isolated
Linux environments that start in milliseconds, without a daemon to install.
.
This package is the program itself. Its command groups are plugins, each in a
package of its own; a command that is not there names the one to install."
  PROVIDES ${abi} DEPENDS "libnettle8 | libnettle8t64"
  RECOMMENDS "ca-certificates, libcurl4 | libcurl4t64, libsodium23, nanoterm-plugin-doctor, nanoterm-plugin-files, nanoterm-plugin-sandbox-enforce, nanoterm-plugin-ws, nanoterm-server"
  SUGGESTS "nanoterm-plugin-keys, nanoterm-plugin-proxy, nanoterm-plugin-quickstart")

foreach(line IN LISTS CPACK_NT_PLUGINS)
  string(REGEX REPLACE " .*" "" plugin "${line}")
  if(NOT line STREQUAL "${plugin} ${plugin} nanoterm-plugin-${plugin}")
    continue()
  endif()
  # Behind the five lines of its head: name, version, summary.
  file(READ ${CPACK_NT_MANIFESTS}/${plugin}.manifest manifest LIMIT 4096)
  if(NOT manifest MATCHES "^nanoterm-manifest 3\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n=${plugin}\n=[^\n]*\n=([^\n]*)\n")
    message(FATAL_ERROR "the manifest of ${plugin} is of another form")
  endif()
  set(about "${CMAKE_MATCH_1}")
  package(nanoterm-plugin-${plugin} "nanoterm plugin: ${plugin}"
    "A command group of nanoterm, the program that gives people and coding agents
safe places to run things in. What it adds:
.
${about}"
    DEPENDS ${abi})
endforeach()
set(CPACK_DEBIAN_NANOTERM-PLUGIN-WS_PACKAGE_RECOMMENDS "git, nanoterm-server")
set(CPACK_DEBIAN_NANOTERM-PLUGIN-QUICKSTART_PACKAGE_RECOMMENDS "git, nanoterm-plugin-files, nanoterm-plugin-ws, nanoterm-server")
set(CPACK_DEBIAN_NANOTERM-PLUGIN-SANDBOX-ENFORCE_PACKAGE_RECOMMENDS "ca-certificates, libcurl4 | libcurl4t64")
set(CPACK_DEBIAN_NANOTERM-PLUGIN-SANDBOX-ENFORCE_PACKAGE_SUGGESTS "libsecret-1-0, strace")
set(CPACK_DEBIAN_NANOTERM-PLUGIN-SANDBOX-ENFORCE_PACKAGE_RECOMMENDS "libssl3 | libssl3t64")
foreach(plugin FILES KEYS PROXY)
  set(CPACK_DEBIAN_NANOTERM-PLUGIN-${plugin}_PACKAGE_RECOMMENDS nanoterm-server)
endforeach()

package(nanoterm-server "nanoterm server: workspaces on this machine"
  "The API server of nanoterm and the engine that makes workspaces on this
machine, as processes in namespaces. Commands start a server for their user by
themselves; the systemd unit, which is off until it is asked for, runs one for
the whole machine. Workspaces go on while a server is restarted or upgraded."
  SECTION admin DEPENDS "nanoterm ${same}, ${abi}" RECOMMENDS "libssl3 | libssl3t64")
foreach(script postinst prerm postrm triggers)
  list(APPEND CPACK_DEBIAN_NANOTERM-SERVER_PACKAGE_CONTROL_EXTRA ${CPACK_NT_DEBIAN}/server/${script})
endforeach()

package(libnanoterm-dev "nanoterm plugins: headers, library and CMake package"
  "What a plugin for nanoterm is written against: the headers of the ABI, a static
library of small helpers, a host for unit tests, a CMake package and a
pkg-config file, and the template that 'nanoterm plugin new' fills in."
  SECTION libdevel DEPENDS "nanoterm ${same}")

set(commands_of_nono ", nanoterm-plugin-sandbox-enforce")
foreach(tool nono nullspace)
  package(nanoterm-as-${tool} "nanoterm under the name ${tool}"
    "A link that calls nanoterm by the name ${tool}: it then shows the commands of
that tool, and reads its settings. With the manual pages and the completion
that it has under that name. Not together with the tool itself."
    ARCHITECTURE all DEPENDS "nanoterm${commands_of_${tool}}" CONFLICTS "${tool}, ${tool}-cli" SHLIBDEPS OFF)
endforeach()
