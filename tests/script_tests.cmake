# The tests that are scripts: house rules, the program end to end, the installed package.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_program(COLLIE_SHELLCHECK shellcheck)
find_program(COLLIE_CLANG_FORMAT clang-format-14)
find_program(COLLIE_CLANG_TIDY clang-tidy-22)

add_test(NAME tidy COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/tidy.py")
add_test(NAME tidy.self_test
  COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/tidy.py" --self-test)
if(COLLIE_SHELLCHECK)
  add_test(NAME shellcheck WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    COMMAND "${COLLIE_SHELLCHECK}" examples/quickstart tests/run .ci/run cmake/packages.sh
      tests/consumer/run.sh tests/lint)
endif()
if(COLLIE_CLANG_FORMAT)
  add_test(NAME format COMMAND "${CMAKE_CURRENT_LIST_DIR}/lint" --format)
endif()
if(COLLIE_CLANG_FORMAT AND COLLIE_CLANG_TIDY)
  add_test(NAME lint COMMAND "${CMAKE_CURRENT_LIST_DIR}/lint")
  set_tests_properties(lint PROPERTIES LABELS long TIMEOUT 10800)
endif()

foreach(group BadInput Help Plan Train Stop)
  add_test(NAME cli.${group}
    COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/cli/cli_test.py"
      $<TARGET_FILE:collie-actor-node> "${PROJECT_SOURCE_DIR}" ${group})
  set_tests_properties(cli.${group} PROPERTIES TIMEOUT 600)
endforeach()

foreach(name schedule adapter tokenize evaluation settings)
  add_test(NAME cli.${name}
    COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/cli/${name}_test.py"
      $<TARGET_FILE:collie-actor-node> "${PROJECT_SOURCE_DIR}")
  set_tests_properties(cli.${name} PROPERTIES TIMEOUT 600)
endforeach()

add_test(NAME cli.examples
  COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/cli/examples_test.py"
    $<TARGET_FILE_DIR:example_dpo> "${PROJECT_SOURCE_DIR}")
set_tests_properties(cli.examples PROPERTIES TIMEOUT 600)

# Only where Python has TensorBoard, whose reader is the judge here.
execute_process(COMMAND "${Python3_EXECUTABLE}" -c "import tensorboard"
  RESULT_VARIABLE collie_no_tensorboard OUTPUT_QUIET ERROR_QUIET)
if(collie_no_tensorboard EQUAL 0)
  add_test(NAME cli.tensorboard
    COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/cli/tensorboard_test.py"
      $<TARGET_FILE:collie-actor-node> "${PROJECT_SOURCE_DIR}")
  set_tests_properties(cli.tensorboard PROPERTIES TIMEOUT 600)
endif()

add_test(NAME fault.program
  COMMAND "${Python3_EXECUTABLE}" -B "${CMAKE_CURRENT_LIST_DIR}/fault/program_test.py"
    $<TARGET_FILE:collie-actor-node> "${PROJECT_SOURCE_DIR}" $<TARGET_FILE:fault_shim>)
set_tests_properties(fault.program PROPERTIES LABELS fault TIMEOUT 600)

add_test(NAME consumer
  COMMAND "${CMAKE_CURRENT_LIST_DIR}/consumer/run.sh" "${PROJECT_BINARY_DIR}")
set_tests_properties(consumer PROPERTIES TIMEOUT 600)
