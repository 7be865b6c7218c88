// HDF5 files that no writer of ours makes: links out of the file, data elsewhere, sizes from the air, circles.
#include <gtest/gtest.h>

#include "store/hdf5.hpp"
#include "store/run_layout.hpp"
#include "store/table.hpp"
#include "support/errors.hpp"
#include "support/scratch_folder.hpp"
#include "tercet/store/run_file.hpp"

namespace tercet {
namespace {

namespace fs = std::filesystem;
using store::Handle;
using store::Hdf5Session;

class HostileRun : public testing::Test {
 protected:
  void SetUp() override {
    RunRecord run;
    run.metrics = {{"loss", 1, 2.5, "nats", 1}};
    run.wall_times = {1.0};
    store::build_run_file(run_h5(), run);
  }
  // Changes the file through HDF5 and gives what reading it says.
  template <class Change>
  std::string refusal(Change&& change) {
    {
      const Hdf5Session session;
      const Handle file = store::open_file(run_h5(), true);
      change(file.get());
    }
    return test::message_of<StoreError>([&] { read_run_file(run_h5()); });
  }
  fs::path run_h5() const { return scratch_.path() / "run.h5"; }
  fs::path other() const { return scratch_.path() / "other.h5"; }

 private:
  test::ScratchFolder scratch_;
};

Handle simple_space(hsize_t size) {
  return store::own(H5Screate_simple(1, &size, nullptr), H5Sclose, "space");
}

// This process has taken external links out of HDF5, so a class of that number is lent to make one.
void create_external_link(const std::string& target, hid_t file, const char* name) {
  H5L_class_t links{};
  links.version = H5L_LINK_CLASS_T_VERS;
  links.id = H5L_TYPE_EXTERNAL;
  links.comment = "of a test";
  links.trav_func = [](const char*, hid_t, const void*, size_t, hid_t, hid_t) -> hid_t { return -1; };
  ASSERT_GE(H5Lregister(&links), 0);
  // Version and flags, file name, object name.
  const std::string value =
      std::string(1, '\0') + target + std::string(1, '\0') + "/metrics/loss" + std::string(1, '\0');
  ASSERT_GE(H5Lcreate_ud(file, name, H5L_TYPE_EXTERNAL, value.data(), value.size(), H5P_DEFAULT, H5P_DEFAULT), 0);
  ASSERT_GE(H5Lunregister(H5L_TYPE_EXTERNAL), 0);
}

TEST_F(HostileRun, WithALinkIntoAnotherFileIsRefused) {
  fs::copy(run_h5(), other());
  EXPECT_MENTIONS(refusal([&](hid_t file) { create_external_link(other(), file, "metrics/more"); }),
                  "link to somewhere else");
}

TEST_F(HostileRun, WithASoftLinkForATableIsRefused) {
  EXPECT_MENTIONS(refusal([](hid_t file) {
                    H5Ldelete(file, "stages", H5P_DEFAULT);
                    H5Lcreate_soft("/attempts", file, "stages", H5P_DEFAULT, H5P_DEFAULT);
                  }),
                  "link to somewhere else");
}

TEST_F(HostileRun, WithDataInAnotherFileIsRefused) {
  test::write_text_file(other(), std::string(64, 'x'));
  EXPECT_MENTIONS(refusal([&](hid_t file) {
                    H5Ldelete(file, "metrics/loss/value", H5P_DEFAULT);
                    const Handle list = store::own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "list");
                    H5Pset_external(list.get(), other().c_str(), 0, 8);
                    const Handle space = simple_space(1);
                    store::own(H5Dcreate2(file, "metrics/loss/value", H5T_IEEE_F64LE, space.get(), H5P_DEFAULT,
                                          list.get(), H5P_DEFAULT),
                               H5Dclose, "dataset");
                  }),
                  "lie somewhere else");
}

TEST_F(HostileRun, WithACompressedColumnIsRefused) {
  EXPECT_MENTIONS(refusal([](hid_t file) {
                    H5Ldelete(file, "metrics/loss/value", H5P_DEFAULT);
                    const Handle list = store::own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "list");
                    const hsize_t chunk = 1;
                    H5Pset_chunk(list.get(), 1, &chunk);
                    H5Pset_deflate(list.get(), 9);
                    const Handle space = simple_space(1);
                    store::own(H5Dcreate2(file, "metrics/loss/value", H5T_IEEE_F64LE, space.get(), H5P_DEFAULT,
                                          list.get(), H5P_DEFAULT),
                               H5Dclose, "dataset");
                  }),
                  "compressed");
}

TEST_F(HostileRun, WithMoreElementsThanBytesIsRefusedBeforeMemoryIsAskedFor) {
  const auto grow = [this](const char* path) {
    return refusal([path](hid_t file) {
      const Handle dataset = store::open_dataset(file, path, path);
      const hsize_t many = hsize_t{1} << 50;
      store::check_hdf5(H5Dset_extent(dataset.get(), &many), "extent");
    });
  };
  EXPECT_MENTIONS(grow("metrics/loss/value"), "'loss' (it has more elements");
  SetUp();
  EXPECT_MENTIONS(grow("layers"), "'layers' (it has more elements");
}

TEST_F(HostileRun, WithAGroupInsideItselfIsRefused) {
  EXPECT_MENTIONS(
      refusal([](hid_t file) { H5Lcreate_hard(file, "metrics", file, "metrics/round", H5P_DEFAULT, H5P_DEFAULT); }),
      "nested without end");
}

TEST_F(HostileRun, WithAnAttributeOfManyValuesIsRefusedBeforeItOverflowsOne) {
  for (const char* name : {"version", "format"}) {
    const std::string text = refusal([name](hid_t file) {
      const bool number = std::string(name) == "version";
      H5Adelete(file, name);
      const Handle space = simple_space(2048);  // an object header holds 64 kB
      const Handle type = store::text_type();
      const Handle attribute =
          store::own(H5Acreate2(file, name, number ? H5T_STD_I64LE : type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
                     H5Aclose, "a");
      const std::vector<std::int64_t> numbers(2048, 1);
      if (number) store::check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, numbers.data()), "write");
    });
    EXPECT_MENTIONS(text, "not a single value");
  }
}

TEST_F(HostileRun, IsNeverAskedForAPlugin) {
  unsigned mask = 1;
  const Hdf5Session session;
  ASSERT_GE(H5PLget_loading_state(&mask), 0);
  EXPECT_EQ(mask, 0u);
}

}  // namespace
}  // namespace tercet
