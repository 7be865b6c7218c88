// What an error says.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

#include "tercet/base/error.hpp"

namespace tercet::test {

// The message of the `E` that `action` throws; a failure of the test, and "", if it throws none or another one.
template <class E, class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error was thrown: " << error.what();
    return "";
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline testing::AssertionResult mentions(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

#define EXPECT_MENTIONS(text, part) EXPECT_TRUE(::tercet::test::mentions(text, part))

}  // namespace tercet::test
