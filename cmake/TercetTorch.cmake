# LibTorch from the pinned wheel (or Torch_DIR), linked directly: the wheel's own CMake package demands a CUDA toolkit.
# libtorch_cuda is never linked: comm/device.cpp loads it when a GPU is there, so the same program starts without one.
if(Torch_DIR)
  get_filename_component(TERCET_TORCH_ROOT "${Torch_DIR}/../../.." ABSOLUTE)
else()
  file(GLOB torch_roots "${TERCET_VENV}/lib/python3*/site-packages/torch")
  list(GET torch_roots 0 TERCET_TORCH_ROOT)
endif()
if(NOT EXISTS "${TERCET_TORCH_ROOT}/include/ATen/core/Tensor.h")
  message(FATAL_ERROR "no LibTorch found under '${TERCET_TORCH_ROOT}' (headers are missing); run launch/setup.sh, "
                      "or give -DTorch_DIR=<prefix>/share/cmake/Torch")
endif()

add_library(tercet_torch INTERFACE)
add_library(tercet::torch ALIAS tercet_torch)
target_include_directories(tercet_torch SYSTEM INTERFACE
  "${TERCET_TORCH_ROOT}/include" "${TERCET_TORCH_ROOT}/include/torch/csrc/api/include")
# at::parallel_for in our own sources is serial without OpenMP; the runtime is the libgomp that the wheel needs too.
# Clang has another one, so that what it builds (the fuzz targets, which compute nothing) stays serial.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_compile_options(tercet_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:${OpenMP_CXX_FLAGS}>)
endif()
target_link_libraries(tercet_torch INTERFACE gomp)
target_compile_definitions(tercet_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=1 AT_PER_OPERATOR_HEADERS)
target_link_libraries(tercet_torch INTERFACE
  "${TERCET_TORCH_ROOT}/lib/libtorch_cpu.so" "${TERCET_TORCH_ROOT}/lib/libc10.so")
if(TERCET_HAVE_CUDA)
  target_link_libraries(tercet_torch INTERFACE "${TERCET_TORCH_ROOT}/lib/libc10_cuda.so" CUDA::cudart)
  target_compile_definitions(tercet_torch INTERFACE TERCET_HAVE_CUDA=1)
endif()
# The wheel keeps its CUDA runtime pieces in sibling packages; libtorch_cpu itself needs cudart and cupti.
file(GLOB nvidia_libs "${TERCET_TORCH_ROOT}/../nvidia/*/lib")
set(rpath "${TERCET_TORCH_ROOT}/lib" ${nvidia_libs})
set(CMAKE_BUILD_RPATH ${rpath})
foreach(directory ${nvidia_libs})
  target_link_options(tercet_torch INTERFACE "-Wl,-rpath-link,${directory}")
endforeach()
