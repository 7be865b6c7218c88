// A fixture for tests that need a GPU: skipped where there is none. The tests labelled "gpu" are those of this name.
#pragma once

#include <gtest/gtest.h>

#include "tercet/comm/runtime.hpp"

namespace tercet::test {

class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU here";
  }
};

}  // namespace tercet::test
