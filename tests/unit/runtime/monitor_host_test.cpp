#define BOOST_TEST_MODULE monitor_host
#include "runtime/monitor_host.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>

#include "temporary_directory.hpp"

namespace collie {
namespace {

using test::check_error;
using test::TemporaryDirectory;

constexpr std::string_view headings =
    "Inter-|   Receive                            |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n";

// A /proc of our own.
struct Machine {
  TemporaryDirectory folder;
  Machine() {
    std::filesystem::create_directories(folder.file("proc/net"));
    std::filesystem::create_directories(folder.file("proc/self"));
  }
  void network(int eth0_in, int eth0_out, int wlan0_in, int wlan0_out) const {
    folder.put("proc/net/dev", fmt::format("{}    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
                                           "  eth0:{} 1 2 3 4 5 6 7 {} 9 0 0 0 0 0 0\n"
                                           " wlan0: {} 1 2 3 4 5 6 7 {} 9 0 0 0 0 0 0\n",
                                           headings, eth0_in, eth0_out, wlan0_in, wlan0_out));
  }
  void disks(int read_sectors, int written_sectors) const {
    folder.put("proc/diskstats", fmt::format("   8  0 sda 1 2 {} 4 5 6 {} 8 0 0 0 0 0 0 0\n"
                                             "   8  1 sda1 1 2 3 4 5 6 7 8 0 0 0 0 0 0 0\n",
                                             read_sectors, written_sectors));
  }
  void own(int read_bytes, int written_bytes) const {
    folder.put("proc/self/io",
               fmt::format("rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: {}\n"
                           "write_bytes: {}\ncancelled_write_bytes: 0\n",
                           read_bytes, written_bytes));
  }
};

BOOST_AUTO_TEST_CASE(traffic_is_counted_since_the_last_sample) {
  const Machine machine;
  machine.network(100, 200, 10, 20);
  machine.own(1000, 2000);
  machine.folder.put("proc/self/statm", "500 300 20 1 0 100 0\n");
  HostMonitor monitor = HostMonitor::open({"", "", machine.folder.path()}).value();
  machine.network(150, 260, 11, 22);
  machine.own(1005, 2600);
  const HostUse use = monitor.sample();
  BOOST_TEST(use.network_received_bytes.value() == 51U);  // without the loopback
  BOOST_TEST(use.network_sent_bytes.value() == 62U);
  BOOST_TEST(use.disk_read_bytes.value() == 5U);
  BOOST_TEST(use.disk_written_bytes.value() == 600U);
  BOOST_TEST(use.resident_bytes.value() ==
             300U * static_cast<unsigned long>(sysconf(_SC_PAGESIZE)));
  BOOST_TEST(monitor.sample().network_received_bytes.value() == 0U);
  machine.network(7, 260, 11, 22);  // eth0 was set up anew: 161 before, 18 now
  BOOST_TEST(monitor.sample().network_received_bytes.value() == 18U);
}

BOOST_AUTO_TEST_CASE(one_interface_and_one_disk_can_be_named) {
  const Machine machine;
  machine.network(100, 200, 10, 20);
  machine.disks(10, 20);
  HostMonitor monitor = HostMonitor::open({"wlan0", "sda", machine.folder.path()}).value();
  machine.network(900, 900, 13, 25);
  machine.disks(11, 23);
  const HostUse use = monitor.sample();
  BOOST_TEST(use.network_received_bytes.value() == 3U);
  BOOST_TEST(use.network_sent_bytes.value() == 5U);
  BOOST_TEST(use.disk_read_bytes.value() == 512U);
  BOOST_TEST(use.disk_written_bytes.value() == 3U * 512U);
  BOOST_TEST(!use.resident_bytes);
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_refused_by_name) {
  const Machine machine;
  machine.network(1, 1, 1, 1);
  machine.disks(1, 1);
  const auto open = [&](const std::string& interface_name, const std::string& disk) {
    return HostMonitor::open({interface_name, disk, machine.folder.path()});
  };
  check_error(open("eth1", ""), ErrorCode::invalid_config,
              "output.network_interface: this machine has no network interface 'eth1', only lo, "
              "eth0, wlan0; did you mean 'eth0'?");
  check_error(open("", "sdz"), ErrorCode::invalid_config, "output.disk: this machine has no disk");
}

BOOST_AUTO_TEST_CASE(a_system_that_tells_nothing_or_nonsense_is_no_error) {
  const Machine machine;
  HostMonitor monitor = HostMonitor::open({"", "", machine.folder.path()}).value();
  BOOST_TEST(!monitor.sample().network_received_bytes);
  BOOST_TEST(!monitor.sample().disk_read_bytes);
  machine.folder.put("proc/net/dev", "eth0: one 2\n: 1\n:::\n\n" + std::string(1000, '9'));
  machine.folder.put("proc/self/io", "read_bytes: -\n");
  machine.folder.put("proc/self/statm", "x y\n");
  const HostUse use = monitor.sample();
  BOOST_TEST(!use.network_received_bytes);
  BOOST_TEST(!use.disk_read_bytes);
  BOOST_TEST(!use.resident_bytes);
}

BOOST_AUTO_TEST_CASE(this_process_has_memory) {
  HostMonitor monitor = HostMonitor::open({}).value();
  BOOST_TEST(monitor.sample().resident_bytes.value_or(0) > 1'000'000U);
}

}  // namespace
}  // namespace collie
