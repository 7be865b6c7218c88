// The ternary rule for tensors on a GPU: our kernel where a scale block is a run of one row, else expressions.
#include <ATen/ops/empty.h>

#include "quant/scale_blocks.hpp"
#include "quant/ternary.hpp"
#include "tercet/quant/gpu_support.hpp"

#if TERCET_HAVE_CUDA
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "quant/device_ternary.hpp"
#endif

namespace tercet::quant {
namespace {

#if TERCET_HAVE_CUDA

bool has_kernel(const at::Tensor& weight, const FormatSpec& spec) {
  const bool rows_of_blocks = spec.granularity != Granularity::kTensor;
  return weight.is_cuda() && weight.scalar_type() == at::kFloat && rows_of_blocks &&
         has_our_kernels(weight.get_device());
}

// `out`, `trits` and `scales` as in ternarize_on_host; undefined: not wanted.
void run_kernel(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration, at::Tensor out,
                at::Tensor trits, at::Tensor scales) {
  const c10::cuda::CUDAGuard guard(weight.device());
  const at::Tensor matrix = weight.detach().contiguous();
  const bool calibrated = spec.rule == ScaleRule::kCalibrated;
  const auto there = [&](const at::Tensor& values) {
    return calibrated && values.defined() ? values.to(weight.device(), at::kFloat).contiguous() : at::Tensor();
  };
  const auto data = [](const at::Tensor& values) {
    return values.defined() ? values.const_data_ptr<float>() : nullptr;
  };
  const at::Tensor thresholds = there(calibration.thresholds), columns = there(calibration.mean_square),
                   factors = there(calibration.scale_factors);
  const ScaleBlocks blocks(matrix.size(0), matrix.size(1), spec);
  DeviceTernary work{data(matrix),  blocks.rows,    blocks.columns,
                     blocks.width,  blocks.per_row, data(thresholds),
                     data(columns), data(factors),  spec.rule == ScaleRule::kAbsmean};
  if (out.defined()) work.out = out.mutable_data_ptr<float>();
  if (trits.defined()) work.trits = trits.mutable_data_ptr<std::int8_t>();
  if (scales.defined()) work.scales = static_cast<std::uint16_t*>(scales.mutable_data_ptr());
  ternarize_on_device(work, c10::cuda::getCurrentCUDAStream(weight.get_device()).stream());
}

#else

bool has_kernel(const at::Tensor&, const FormatSpec&) {
  return false;
}
void run_kernel(const at::Tensor&, const FormatSpec&, const Calibration&, at::Tensor, at::Tensor, at::Tensor) {}

#endif

}  // namespace

QuantizedMatrix ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration) {
  if (!has_kernel(weight, spec)) return ternarize_by_expressions(weight, spec, calibration);
  const auto options = weight.options();
  QuantizedMatrix result{at::empty(weight.sizes(), options.dtype(at::kChar)),
                         at::empty(scale_shape(weight.size(0), weight.size(1), spec), options.dtype(at::kHalf)),
                         {}};
  run_kernel(weight, spec, calibration, {}, result.levels, result.scales);
  return result;
}

void fake_ternarize_elsewhere(const at::Tensor& weight, const FormatSpec& spec, const Calibration& calibration,
                              at::Tensor out) {
  const bool plain = out.is_contiguous() && out.scalar_type() == at::kFloat && out.device() == weight.device();
  if (plain && has_kernel(weight, spec)) return run_kernel(weight, spec, calibration, out, {}, {});
  out.copy_(dequantize(ternarize_by_expressions(weight, spec, calibration), spec));
}

}  // namespace tercet::quant

bool tercet::has_our_kernels(int gpu) {
#if TERCET_HAVE_CUDA
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu) == cudaSuccess && major >= 8;
#else
  return false;
#endif
}
