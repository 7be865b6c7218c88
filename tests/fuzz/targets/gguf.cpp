// model.gguf as the independent check reads it.
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>

#include "artifact/gguf_file.hpp"
#include "artifact/gguf_view.hpp"
#include "target.hpp"

namespace tercet::fuzz {
namespace {

std::vector<std::string> seeds() {
  GgufFile file;
  file.set("general.architecture", std::string("llama"));
  file.set("llama.block_count", std::uint32_t{1});
  file.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b"});
  file.set("tokenizer.ggml.scores", std::vector<float>{0, -1});
  file.tensors.push_back({"token_embd.weight", {2, 4}, 0, 32, [] { return at::ones({2, 4}, at::kFloat); }});
  file.tensors.push_back({"output_norm.weight", {3}, 1, 6, [] { return at::ones({3}, at::kHalf); }});
  const auto target = scratch() / "seed.gguf";
  write_gguf(target, file);
  return {content_of(target)};
}

void read(std::string_view input) {
  const gguf_check::Container file(scratch_file("model.gguf", input));
  for (const auto& [name, entry] : file.tensors) {
    std::uint64_t values = 1;
    for (const std::uint64_t size : entry.sizes) values *= size;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data().data()) + entry.offset;
    const gguf_check::Block block = gguf_check::block_of(entry.type);
    const std::uint64_t last = values - 1;
    (void)gguf_check::element(entry.type, bytes + last / block.values * block.bytes, last % block.values);
  }
}

const Registration kTarget({"gguf", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
