#define BOOST_TEST_MODULE tensorboard
#include "runtime/tensorboard.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <limits>

#include "runtime/file.hpp"

namespace collie::tensorboard {
namespace {

BOOST_AUTO_TEST_CASE(checksums_are_those_of_rfc_3720) {
  BOOST_TEST(crc32c(std::string(32, '\0')) == 0x8A9136AAU);
  BOOST_TEST(crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);
  BOOST_TEST(crc32c("123456789") == 0xE3069283U);
  BOOST_TEST(crc32c("") == 0U);
}

// goldens/tensorboard/make_tensorboard_goldens.py writes the same with tensorboard's own writer.
BOOST_AUTO_TEST_CASE(files_are_tensorboards_byte_for_byte) {
  const std::string golden =
      read_file(std::string(COLLIE_TESTS_DIR) + "/goldens/tensorboard/golden.tfevents", 1 << 20)
          .value();
  const std::vector<Scalar> step = {{"train/loss", 2.5}, {"train/tokens_per_s", 123456.789}};
  const std::vector<Scalar> zero = {{"evaluation/loss", 0.0}};
  const std::vector<Scalar> odd = {
      {"a", 1e-46}, {"b", -0.0}, {"c", std::numeric_limits<double>::infinity()}, {"d", 1e300}};
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += "line\n";
  const std::vector<std::string> events = {version_event(1.5),
                                           session_start_event(1700000000.25, 300),
                                           scalars_event(1700000001.5, 300, step),
                                           scalars_event(1.5, 0, zero),
                                           scalars_event(1.5, std::int64_t{1} << 40, odd),
                                           text_event(2.0, 7, "run/start/text_summary", lines)};
  std::string written;
  for (const std::string& event : events) {
    const std::string record = framed_record(event);
    BOOST_TEST(golden.substr(written.size(), record.size()) == record);
    written += record;
  }
  BOOST_TEST(golden == written);
}

}  // namespace
}  // namespace collie::tensorboard
