#include "ggml_contender.hpp"

#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <random>
#include <stdexcept>

namespace tercet::bench {
namespace {

ggml_type type_of(const std::string& name) {
  for (const ggml_type type : {GGML_TYPE_TQ2_0, GGML_TYPE_Q4_0, GGML_TYPE_Q8_0}) {
    if (name == ggml_type_name(type)) return type;
  }
  throw std::invalid_argument("no type '" + name + "' of ggml");
}

// One for all matrices: llama.cpp, too, keeps its threads.
ggml_threadpool* pool_of(int threads) {
  static ggml_threadpool* pool = nullptr;
  if (pool == nullptr) {
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    pool = ggml_threadpool_new(&params);
  }
  return pool;
}

// The same for every matrix: making them is most of a benchmark's time.
std::vector<float> some_values(std::int64_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

const std::vector<char>& some_weights(ggml_type type, std::int64_t rows, std::int64_t columns) {
  static std::vector<char> bytes;
  if (bytes.empty()) {
    bytes.resize(ggml_row_size(type, columns) * static_cast<std::size_t>(rows));
    ggml_quantize_chunk(type, some_values(rows * columns).data(), bytes.data(), 0, rows, columns, nullptr);
  }
  return bytes;
}

}  // namespace

struct GgmlMatrix::State {
  ggml_context* context = nullptr;
  ggml_tensor* weights = nullptr;
  ggml_cgraph* graph = nullptr;
  ggml_cplan plan{};
  std::vector<std::uint8_t> work;
  ~State() { ggml_free(context); }
};

GgmlMatrix::GgmlMatrix(const std::string& name, std::int64_t rows, std::int64_t columns, std::int64_t tokens,
                       int threads)
    : state_(std::make_unique<State>()) {
  const ggml_type type = type_of(name);
  const std::vector<char>& content = some_weights(type, rows, columns);
  const auto floats = static_cast<std::size_t>((rows + columns) * tokens) * sizeof(float);
  state_->context = ggml_init({content.size() + floats + (std::size_t{1} << 20), nullptr, false});
  state_->weights = ggml_new_tensor_2d(state_->context, type, columns, rows);
  std::copy(content.begin(), content.end(), static_cast<char*>(state_->weights->data));
  ggml_tensor* inputs = ggml_new_tensor_2d(state_->context, GGML_TYPE_F32, columns, tokens);
  const std::vector<float> values = some_values(columns * tokens);
  std::copy(values.begin(), values.end(), static_cast<float*>(inputs->data));
  state_->graph = ggml_new_graph_custom(state_->context, 8, false);
  ggml_build_forward_expand(state_->graph, ggml_mul_mat(state_->context, state_->weights, inputs));
  state_->plan = ggml_graph_plan(state_->graph, threads, pool_of(threads));
  state_->work.resize(state_->plan.work_size);
  state_->plan.work_data = state_->work.data();
}

GgmlMatrix::~GgmlMatrix() = default;
GgmlMatrix::GgmlMatrix(GgmlMatrix&&) noexcept = default;
GgmlMatrix& GgmlMatrix::operator=(GgmlMatrix&&) noexcept = default;

void GgmlMatrix::multiply() const {
  ggml_graph_compute(state_->graph, &state_->plan);
}

std::uint64_t GgmlMatrix::bytes() const {
  return ggml_nbytes(state_->weights);
}

}  // namespace tercet::bench
