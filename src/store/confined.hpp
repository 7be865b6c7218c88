// Code that may loop or crash on what it is given, in a process of its own.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace tercet::store {

// The result of work(), which runs in a forked child: it sees this process's memory as it is now, and nothing that it
// does comes back but the result. Of the other threads there are none in the child, so work() must not need a lock that
// one of them may hold. Throws StoreError: with the words of an error that work() threw, or because it crashed, or had
// no result after `limit` (the child is then killed).
std::string in_own_process(const std::function<std::string()>& work, std::chrono::seconds limit);

}  // namespace tercet::store
