// The model being trained: full-precision masters that the optimizer moves, and the values that forward sees, which are
// what the stored form of the masters stands for. The gradient at the seen value is taken as the gradient at the
// master (straight-through estimator, Bengio et al. 2013).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tercet/comm/communicator.hpp"
#include "tercet/model/decoder.hpp"
#include "tercet/quant/format.hpp"

namespace tercet {

struct TrainedParameter {
  std::string name;
  Role role = Role::kNorm;
  bool input_first = false;        // stored [in, out]; quantized as [out, in]
  std::optional<FormatSpec> spec;  // nullopt: trained and kept in full precision
  Calibration calibration;
  at::Tensor master;  // float32; while it is streamed its shape alone (on the meta device), and so is `seen`
  at::Tensor seen;    // leaf of the forward pass. The master itself without a spec.
  bool trained = true;
  double step_share = 1;  // what AdamW and Lion multiply their step size by
  // Levels that stay as they are, with the scales that they had first: the master is the scales (scale_polish.hpp).
  std::optional<QuantizedMatrix> levels = {};
  at::Tensor scale_gradient = {};
  // Makes the master of a streamed parameter, a tensor of its own each time. Empty: the master is there.
  std::function<at::Tensor()> stream = {};

  at::Tensor full_master() const { return stream ? stream() : master.detach(); }
  // What an optimizer reads and clipping scales: the gradient at the master.
  at::Tensor gradient() const { return levels ? scale_gradient : seen.grad(); }
  // With fixed levels, the scales that the master stands for, as stored: fp16, of the sign that they had first.
  at::Tensor stored_scales() const;
};

// How each parameter of a model is to be stored, in the order of Decoder::parameters().
struct ParameterPlan {
  std::optional<FormatSpec> spec;
  Calibration calibration;
};

// What the stored form of a master stands for, in the layout of the model.
at::Tensor quantized_value(const at::Tensor& master, const FormatSpec& spec, const Calibration& calibration,
                           bool input_first);
// Every part of it on the device.
Calibration on_device(const Calibration& calibration, at::Device device);

// Seen values from masters, of all but streamed parameters. With a hardness below 1 the trained matrices inside the
// blocks are seen as hardness * quantized + (1 - hardness) * master.
void requantize(std::vector<TrainedParameter>& parameters, double hardness = 1);
// Gradients of scales from those of the seen values, of parameters with fixed levels.
void derive_gradients(std::vector<TrainedParameter>& parameters);

class Student {
 public:
  // Takes the decoder over; `plan` has one entry per parameter. What the decoder streams, the student streams: master
  // and seen value of such a parameter are made from the decoder's source whenever they are needed.
  Student(Decoder decoder, const std::vector<ParameterPlan>& plan);

  const Decoder& decoder() const { return decoder_; }
  Decoder& decoder() { return decoder_; }
  std::vector<TrainedParameter>& parameters() { return parameters_; }
  const std::vector<TrainedParameter>& parameters() const { return parameters_; }

  // Seen values from masters; called before every step that reads them.
  void requantize(double hardness = 1) { tercet::requantize(parameters_, hardness); }
  // After a backward pass, and its reduction over ranks: gradients of scales from those of the seen values.
  void derive_gradients() { tercet::derive_gradients(parameters_); }

  // Whether there are streamed parameters, or were before their blocks were loaded.
  bool streams() const { return streams_; }
  // The masters and seen values of a streamed block are in memory and can be trained, until it is put away.
  void load_block(int block);
  // Collective. Its masters and calibration, the same on all ranks, go into `file` and are streamed from there.
  void put_away_block(Communicator& comm, int block, const std::filesystem::path& file);

  // Of a student that does not stream.
  std::vector<at::Tensor> copy_masters() const;
  void restore_masters(const std::vector<at::Tensor>& masters);  // and requantizes

 private:
  void stream(std::size_t index);  // by its TrainedParameter::stream

  Decoder decoder_;
  std::vector<TrainedParameter> parameters_;
  bool streams_ = false;
};

// The matrix as quantization sees it: [out, in], whatever the layout of the model.
at::Tensor as_output_first(const at::Tensor& value, bool input_first);

}  // namespace tercet
