// Automatic mixed precision for a scope: matrix products in bfloat16, sums and norms in float32.
#pragma once

#include <c10/core/DeviceType.h>

namespace tercet::train {

class AutocastScope {
 public:
  AutocastScope(c10::DeviceType device, bool enabled);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  c10::DeviceType device_;
  bool enabled_, before_ = false;
};

}  // namespace tercet::train
