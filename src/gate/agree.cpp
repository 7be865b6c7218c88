#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tercet/gate/gates.hpp"

namespace tercet {
namespace {

// Hexadecimal text keeps every bit, and NaN and infinity, which JSON's numbers cannot hold.
std::string exact_text(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

double exact_number(const nlohmann::json& text) {
  return std::strtod(text.get<std::string>().c_str(), nullptr);
}

nlohmann::json to_json(const GateResult& gate) {
  return {
      gate.name,    gate.verdict, gate.severity, exact_text(gate.value), gate.comparison, exact_text(gate.threshold),
      gate.evidence};
}

GateResult from_json(const nlohmann::json& row) {
  return {row.at(0), row.at(1), row.at(2), exact_number(row.at(3)), row.at(4), exact_number(row.at(5)), row.at(6)};
}

std::string to_text(const Verdict& verdict) {
  auto gates = nlohmann::json::array();
  for (const GateResult& gate : verdict.gates) gates.push_back(to_json(gate));
  return nlohmann::json{{"passed", verdict.passed}, {"gates", gates}}.dump(-1, ' ', false,
                                                                           nlohmann::json::error_handler_t::replace);
}

}  // namespace

Verdict judge_on_root(Communicator& comm, const GatesSection& rules, const Measurements& measured) {
  const auto agreed = nlohmann::json::parse(on_root(comm, [&] { return to_text(judge(rules, measured)); }));
  Verdict verdict;
  verdict.passed = agreed.at("passed");
  for (const nlohmann::json& row : agreed.at("gates")) verdict.gates.push_back(from_json(row));
  return verdict;
}

}  // namespace tercet
