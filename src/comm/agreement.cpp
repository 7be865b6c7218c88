// Ranks that agree: on a value, on an error, on the result of work that one of them did.
#include <c10/util/Exception.h>

#include <functional>
#include <new>

#include "tercet/base/error.hpp"
#include "tercet/comm/communicator.hpp"

namespace tercet {
namespace {

// An error as it travels between ranks. The kind is the class; a plain Error keeps its exit code.
struct Fault {
  std::string kind;  // empty: no fault
  int exit_code = 0;
  std::string text;
};

template <typename Kind>
bool is_a(const std::exception& error) {
  return dynamic_cast<const Kind*>(&error) != nullptr;
}

std::string kind_of(const std::exception& error) {
  if (is_a<ConfigError>(error)) return "ConfigError";
  if (is_a<DataError>(error)) return "DataError";
  if (is_a<StoreError>(error)) return "StoreError";
  if (is_a<CommError>(error)) return "CommError";
  if (is_a<NumericError>(error)) return "NumericError";
  if (is_a<StopRequested>(error)) return "StopRequested";
  return "Error";
}

// LibTorch's errors carry a stack trace after this mark, which helps nobody here.
std::string without_backtrace(const std::string& text) {
  return text.substr(0, text.find("\nException raised from"));
}

Fault fault_of(const std::function<void()>& action, int rank) {
  const auto foreign = [&](const std::string& what) {
    return Fault{"Error", static_cast<int>(ExitCode::kInternal),
                 "unexpected error on rank " + std::to_string(rank) + ": " + without_backtrace(what)};
  };
  try {
    action();
    return {};
  } catch (const Error& error) {
    return {kind_of(error), static_cast<int>(error.exit_code()), error.what()};
  } catch (const c10::OutOfMemoryError& error) {
    return {"Error", static_cast<int>(ExitCode::kInternal),
            "the memory of the GPU of rank " + std::to_string(rank) + " is too small (" +
                without_backtrace(error.what()) + "); lower training.micro_batch, or compute on the CPU"};
  } catch (const std::bad_alloc&) {
    return foreign("out of memory");
  } catch (const std::exception& error) {
    return foreign(error.what());
  } catch (...) {
    return foreign("an exception that is not a std::exception");
  }
}

[[noreturn]] void raise(const Fault& fault) {
  if (fault.kind == "ConfigError") throw ConfigError(fault.text);
  if (fault.kind == "DataError") throw DataError(fault.text);
  if (fault.kind == "StoreError") throw StoreError(fault.text);
  if (fault.kind == "CommError") throw CommError(fault.text);
  if (fault.kind == "NumericError") throw NumericError(fault.text);
  if (fault.kind == "StopRequested") throw StopRequested(fault.text);
  throw Error(static_cast<ExitCode>(fault.exit_code), fault.text, "", "");
}

// "kind\ncode\ntext"; only the last part may hold a line break.
std::string encode(const Fault& fault) {
  return fault.kind + "\n" + std::to_string(fault.exit_code) + "\n" + fault.text;
}

Fault decode(const std::string& wire) {
  const std::size_t kind_end = wire.find('\n');
  const std::size_t code_end = wire.find('\n', kind_end + 1);
  return {wire.substr(0, kind_end), std::stoi(wire.substr(kind_end + 1, code_end - kind_end - 1)),
          wire.substr(code_end + 1)};
}

}  // namespace

std::string broadcast_string(Communicator& comm, std::string text, int root) {
  auto length = static_cast<std::int64_t>(text.size());
  comm.broadcast(std::as_writable_bytes(std::span(&length, 1)), root);
  text.resize(static_cast<std::size_t>(length));
  comm.broadcast(std::as_writable_bytes(std::span(text.data(), text.size())), root);
  return text;
}

std::int64_t all_reduce_value(Communicator& comm, std::int64_t value, Reduce op) {
  comm.all_reduce(std::span(&value, 1), op);
  return value;
}

double all_reduce_value(Communicator& comm, double value, Reduce op) {
  comm.all_reduce(std::span(&value, 1), op);
  return value;
}

void on_every_rank(Communicator& comm, const std::function<void()>& action) {
  const Fault mine = fault_of(action, comm.rank());
  const std::int64_t place = mine.kind.empty() ? comm.size() : comm.rank();
  const std::int64_t first = all_reduce_value(comm, place, Reduce::kMin);
  if (first == comm.size()) return;
  raise(decode(broadcast_string(comm, encode(mine), static_cast<int>(first))));
}

std::string on_root(Communicator& comm, const std::function<std::string()>& action) {
  std::string result;
  Fault fault;
  if (comm.is_root()) fault = fault_of([&] { result = action(); }, comm.rank());
  comm.idle_barrier();
  fault = decode(broadcast_string(comm, encode(fault)));
  if (!fault.kind.empty()) raise(fault);
  return broadcast_string(comm, std::move(result));
}

}  // namespace tercet
