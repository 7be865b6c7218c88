# Headers that most sources include, parsed once: LibTorch's tensors, JSON, and for the tests GoogleTest. Sources still
# include all that they use; builds without this (every preset but release and cuda) are what shows it.
#
# tercet_precompiled(TARGET SET): for a target that links tercet::torch, by a set compiled with the same options:
# computing, plain (with tercet_plain) or tests.
set(tercet_without_tensors base log page config)  # modules compiled with other options, which no set has
set(tercet_headers_common <algorithm> <filesystem> <fstream> <functional> <map> <memory> <optional> <sstream> <string>
    <vector> <nlohmann/json.hpp> <ATen/core/Tensor.h> <ATen/TensorOperators.h>)

function(tercet_precompiled target set)
  if(NOT TERCET_PRECOMPILE)
    return()
  endif()
  set(headers "tercet_headers_${set}")
  if(NOT TARGET ${headers})
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/generated/${headers}.cpp" CONTENT "// only its headers count\n")
    add_library(${headers} OBJECT EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/generated/${headers}.cpp")
    target_link_libraries(${headers} PRIVATE tercet::torch nlohmann_json::nlohmann_json tercet_warnings
                                             tercet_instrumentation)
    target_precompile_headers(${headers} PRIVATE ${tercet_headers_common})
    if(NOT set STREQUAL "computing")
      target_link_libraries(${headers} PRIVATE tercet_plain)
    endif()
    if(set STREQUAL "tests")
      target_link_libraries(${headers} PRIVATE GTest::gtest)
      target_precompile_headers(${headers} PRIVATE <gtest/gtest.h>)
    endif()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${headers})
endfunction()
