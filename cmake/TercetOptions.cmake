# Compiler behaviour that every target of ours shares, as targets and not as global flags.
option(TERCET_PRECOMPILE "Parse the largest headers once and not for each source" OFF)

find_program(TERCET_CCACHE ccache)
if(TERCET_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${TERCET_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${TERCET_CCACHE}")
  if(TERCET_PRECOMPILE)  # what it asks for before it caches a source that begins with precompiled headers
    list(PREPEND CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros)
  endif()
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${TERCET_CCACHE}")
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(tercet_warnings INTERFACE)
add_library(tercet::warnings ALIAS tercet_warnings)
target_compile_options(tercet_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter
  # false positives of GCC 12 on "text" + std::to_string()
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>>)

# For sources that compute next to nothing themselves: they compile a third faster.
add_library(tercet_plain INTERFACE)
target_compile_options(tercet_plain INTERFACE $<$<CONFIG:Release>:-O1>
  # false positives of GCC 12 at that level, again on "text" + std::to_string()
  $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow -Wno-array-bounds>)

add_library(tercet_instrumentation INTERFACE)
# Only what is to be counted is instrumented: the modules, not the tests.
add_library(tercet_counters INTERFACE)
if(TERCET_COVERAGE)
  target_compile_options(tercet_counters INTERFACE --coverage -Og -g1)
  target_link_options(tercet_instrumentation INTERFACE --coverage)
endif()
if(TERCET_SANITIZE)
  # A finding ends the program: a test that only prints one would pass.
  target_compile_options(tercet_instrumentation INTERFACE
    -fsanitize=${TERCET_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(tercet_instrumentation INTERFACE -fsanitize=${TERCET_SANITIZE})
endif()

if(TERCET_COVERAGE OR TERCET_SANITIZE OR TERCET_FUZZ)
  target_compile_definitions(tercet_instrumentation INTERFACE TERCET_REPORTS_AT_EXIT)
endif()
if(TERCET_FUZZ)
  # Counts what of our code an input reaches; the targets alone bring libFuzzer's main.
  target_compile_options(tercet_instrumentation INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()
