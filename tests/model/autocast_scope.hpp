// Turns bf16 autocast on a CPU on for a scope. Declared in a light header: ATen's own is heavy.
#pragma once

namespace tercet::test {

class AutocastScope {
 public:
  explicit AutocastScope(bool enabled);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  bool before_;
};

}  // namespace tercet::test
