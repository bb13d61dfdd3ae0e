# cmake --install gives a package that find_package(collie_actor) finds: collie::actor is all of it.
include(CMakePackageConfigHelpers)

add_library(collie_actor INTERFACE)
set_target_properties(collie_actor PROPERTIES EXPORT_NAME actor)
target_link_libraries(collie_actor INTERFACE collie_actors)

set(collie_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/collie_actor")
install(TARGETS collie_actor collie_actors collie_models collie_kernels collie_runtime
  EXPORT collie_actor_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT collie_actor_targets NAMESPACE collie:: DESTINATION ${collie_package_dir})
foreach(folder runtime kernels models actors)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/collie_actor
    FILES_MATCHING PATTERN "*.hpp" PATTERN "*_impl.hpp" EXCLUDE)
endforeach()
if(TARGET collie-actor-node)
  install(TARGETS collie-actor-node RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/collie_actor)

configure_package_config_file(cmake/collie_actorConfig.cmake.in
  "${PROJECT_BINARY_DIR}/collie_actorConfig.cmake" INSTALL_DESTINATION ${collie_package_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/collie_actorConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/collie_actorConfig.cmake"
  "${PROJECT_BINARY_DIR}/collie_actorConfigVersion.cmake"
  cmake/FindCAF.cmake cmake/collie_dependencies.cmake
  DESTINATION ${collie_package_dir})
