// The work log of a run, and the bytes of one unit. The hash of a record is put right before reading.
#include "store/work_records.hpp"

#include <ATen/ops/arange.h>

#include "target.hpp"
#include "tercet/store/unit_bytes.hpp"
#include "tercet/store/work_log.hpp"

namespace tercet::fuzz {
namespace {

std::string unit() {
  ByteWriter bytes;
  bytes.add(std::uint64_t{3});
  bytes.add(std::string_view("abc"));
  bytes.add(2.5);
  bytes.add(at::arange(4, at::kFloat));
  return bytes.take();
}

std::vector<std::string> seeds() {
  const std::string record = store::work_record("evaluate/before/0", unit());
  return {unit(), store::work_header("id") + record + store::work_record("evaluate/before/1", ""), record};
}

void read_unit(std::string_view outcome) {
  ByteReader bytes(outcome);
  (void)bytes.text(bytes.number<std::uint64_t>());
  (void)bytes.number<double>();
  (void)bytes.tensor({2, 2}, at::kFloat);
  bytes.finish();
}

void read(std::string_view input) {
  scratch_file("work/rank-000000.log", input);
  // With a header that is right, and as the payload of a record that is whole.
  scratch_file("work/rank-000001.log", store::work_header("id") + std::string(input));
  scratch_file("work/rank-000002.log", store::work_header("id") + store::work_record("unit", input));
  const WorkRecords records(scratch() / "work", "id");
  read_unit(records.find("unit").value());
}

const Registration kTarget({"work_log", seeds, read});

}  // namespace
}  // namespace tercet::fuzz
