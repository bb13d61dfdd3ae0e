# collie_embed(TARGET NAME [FUNCTION FILE...]...): adds to a target one source that defines, for each
# FUNCTION of namespace collie, a std::string_view of the files that follow it, one after the other.
# Files are told from functions by the dot in their name; they are relative to the source tree.
function(collie_embed target name)
  set(output "${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.cpp")
  set(files ${ARGN})
  list(FILTER files INCLUDE REGEX "\\.")
  list(TRANSFORM files PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  string(REPLACE ";" "," arguments "${ARGN}")
  add_custom_command(OUTPUT "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}"
      "-DARGUMENTS=${arguments}" -P "${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake"
    DEPENDS ${files} "${PROJECT_SOURCE_DIR}/cmake/embed_files.cmake" VERBATIM)
  target_sources(${target} PRIVATE "${output}")
endfunction()
