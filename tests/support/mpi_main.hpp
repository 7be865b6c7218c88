// For *_mpi_test.cpp: the ranks of this test program. Every rank runs every test, in the same order.
#pragma once

#include "tercet/comm/communicator.hpp"
#include "tercet/comm/runtime.hpp"

namespace tercet::test {

Communicator& world();  // host memory; "self" when there is one rank
Runtime& runtime();     // for tests that connect by themselves

}  // namespace tercet::test
