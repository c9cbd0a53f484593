# embed.cmake - a text file of the tree becomes a C array in the binary, which then needs no data
# folder at run time. Bytes, not a string literal: C promises only 4095 characters of those.

# embed_text(FILE NAME): gen/NAME.h with `static const char NAME[]`, ended by a NUL.
function(embed_text file name)
    set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n"
        bytes "${bytes}")
    file(RELATIVE_PATH source ${CMAKE_SOURCE_DIR} ${file})
    file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/gen/${name}.h @ONLY CONTENT
"/* Generated from ${source}. */
static const char ${name}[] = {
${bytes}0x00};
")
endfunction()
