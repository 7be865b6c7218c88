// Whether kernels of ours run on a GPU.
#pragma once

namespace tercet {

// They are compiled for compute capability 8.0 and later; false for an older GPU and in a build without CUDA.
bool has_our_kernels(int gpu);

}  // namespace tercet
