// The entry points of libFuzzer for the one target of this program. `fuzz_NAME --seeds FOLDER` writes its seeds
// instead.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "target.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  using namespace tercet::fuzz;
  if (*argc != 3 || std::strcmp((*argv)[1], "--seeds") != 0) return 0;
  const std::filesystem::path folder = (*argv)[2];
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : targets().front().seeds()) {
    std::ofstream(folder / ("seed-" + std::to_string(number++)), std::ios::binary) << seed;
  }
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tercet::fuzz::attack(tercet::fuzz::targets().front(), {reinterpret_cast<const char*>(data), size});
  return 0;
}
