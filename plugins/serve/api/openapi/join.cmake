# SPDX-License-Identifier: Apache-2.0
# cmake -D VERSION=… -D OUT=… -D BASE=… -D PARTS=a,b,… -P join.cmake: joins base.json and a file per resource to one OpenAPI document,
# as an array in a C file. A path that two parts describe is put together method by method.
file(READ ${BASE} document)
string(JSON document SET "${document}" info version "\"${VERSION}\"")

function(join target source) # the members of an object in `part`, and of each of them when target has it already
  string(JSON count ERROR_VARIABLE none LENGTH "${part}" ${source})
  if(count STREQUAL "NOTFOUND" OR count EQUAL 0)
    return()
  endif()
  math(EXPR last "${count} - 1")
  foreach(i RANGE ${last})
    string(JSON name MEMBER "${part}" ${source} ${i})
    string(JSON value GET "${part}" ${source} "${name}")
    string(JSON there ERROR_VARIABLE missing TYPE "${document}" ${target} "${name}")
    if(missing)
      string(JSON document SET "${document}" ${target} "${name}" "${value}")
    elseif(source STREQUAL "paths")
      string(JSON methods LENGTH "${value}")
      math(EXPR last_method "${methods} - 1")
      foreach(j RANGE ${last_method})
        string(JSON method MEMBER "${value}" ${j})
        string(JSON operation GET "${value}" ${method})
        string(JSON there ERROR_VARIABLE missing TYPE "${document}" ${target} "${name}" ${method})
        if(NOT missing)
          message(FATAL_ERROR "${file}: ${method} ${name} is there twice")
        endif()
        string(JSON document SET "${document}" ${target} "${name}" ${method} "${operation}")
      endforeach()
    else()
      message(FATAL_ERROR "${file}: ${name} is there twice")
    endif()
  endforeach()
  set(document "${document}" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" files "${PARTS}")
foreach(file IN LISTS files)
  file(READ ${file} part)
  join("paths" paths)
  join("components;schemas" schemas)
endforeach()

file(WRITE ${OUT}.json "${document}")
file(READ ${OUT}.json bytes HEX)
string(REGEX REPLACE "(................................................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT}
  "/* Made from plugins/serve/api/openapi. */\n"
  "#include \"plugins/serve/api/openapi.h\"\n\n"
  "static const unsigned char text[] = {\n${bytes}\n};\n"
  "const struct nt_bytes openapi_document = { text, sizeof(text) };\n")
