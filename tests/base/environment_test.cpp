#include "tercet/base/environment.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

namespace tercet {
namespace {

using Care = Influence::Care;

TEST(Environment, NamesWhatCanChangeANumberAndNothingElse) {
  const std::array<const char*, 7> environment = {
      "HOME=/somewhere", "OMP_NUM_THREADS=4", "MKL_CBWR=AVX2", "NVIDIA_TF32_OVERRIDE=1",
      "MKLROOT=/opt",    "MKL_NO_VALUE",      nullptr};
  const auto found = influences_in(environment.data());
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name, "MKL_CBWR");
  EXPECT_EQ(found[0].value, "AVX2");
  EXPECT_EQ(found[0].care, Care::kWarned);
  EXPECT_EQ(found[1].name, "NVIDIA_TF32_OVERRIDE");
  EXPECT_EQ(found[1].care, Care::kRemoved);
  EXPECT_EQ(found[2].name, "OMP_NUM_THREADS");
  EXPECT_EQ(found[2].care, Care::kRecorded);
}

TEST(Environment, IsRidOfWhatLowersPrecisionAndRemembersIt) {
  ::setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", 1);
  ::setenv("ATEN_CPU_CAPABILITY", "default", 1);
  settle_environment();
  EXPECT_EQ(std::getenv("ONEDNN_DEFAULT_FPMATH_MODE"), nullptr);
  EXPECT_STREQ(std::getenv("ATEN_CPU_CAPABILITY"), "default");
  EXPECT_EQ(environment_record().at("ONEDNN_DEFAULT_FPMATH_MODE"), "BF16");
  EXPECT_EQ(environment_record().at("ATEN_CPU_CAPABILITY"), "default");
  const std::string warning = environment_warning();
  EXPECT_NE(warning.find("not obeyed"), std::string::npos) << warning;
  EXPECT_NE(warning.find("ATEN_CPU_CAPABILITY=default"), std::string::npos) << warning;
  ::unsetenv("ATEN_CPU_CAPABILITY");
  settle_environment();
  EXPECT_EQ(environment_warning().find("ATEN_CPU_CAPABILITY"), std::string::npos);
}

}  // namespace
}  // namespace tercet
