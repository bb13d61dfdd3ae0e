// Machines and containers made of files.
#define BOOST_TEST_MODULE host_memory
#include "runtime/host_memory.hpp"

#include <filesystem>

#include "tests/unit/runtime/temporary_directory.hpp"

using namespace collie;

namespace {

constexpr std::size_t mib = 1024 * 1024;

class Machine : public test::TemporaryDirectory {
 public:
  Machine() { write("proc/meminfo", "MemTotal:  4096000 kB\nMemAvailable:    2048000 kB\n"); }
  void write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(file(name)).parent_path());
    put(name, content);
  }
  std::size_t available() const { return available_host_memory(0, path()).bytes; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(without_groups_it_is_what_the_machine_has_free) {
  const Machine machine;
  BOOST_CHECK_EQUAL(machine.available(), 2000 * mib);
  BOOST_CHECK_EQUAL(available_host_memory(0, machine.path()).source, "free on this machine");
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", "max\n");
  BOOST_CHECK_EQUAL(machine.available(), 2000 * mib);
}

BOOST_AUTO_TEST_CASE(the_least_limit_of_a_group_and_those_above_it_counts) {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/batch/job/task\n");
  machine.write("sys/fs/cgroup/batch/job/task/memory.max", "max\n");
  BOOST_CHECK_EQUAL(machine.available(), 2000 * mib);
  machine.write("sys/fs/cgroup/batch/job/memory.max", "314572800\n");
  BOOST_CHECK_EQUAL(machine.available(), 300 * mib);
  machine.write("sys/fs/cgroup/batch/memory.max", "209715200\n");
  BOOST_CHECK_EQUAL(machine.available(), 200 * mib);
  BOOST_CHECK_EQUAL(available_host_memory(0, machine.path()).source,
                    "allowed by the control group");
  machine.write("sys/fs/cgroup/batch/job/task/memory.max", "104857600\n");
  BOOST_CHECK_EQUAL(machine.available(), 100 * mib);
}

BOOST_AUTO_TEST_CASE(version_1_and_both_at_once) {
  const Machine machine;
  machine.write("proc/self/cgroup", "12:cpuset:/x\n4:hugetlb,memory:/job\n0::/\n");
  machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n");
  BOOST_CHECK_EQUAL(machine.available(), 2000 * mib);
  machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "419430400\n");
  BOOST_CHECK_EQUAL(machine.available(), 400 * mib);
  machine.write("sys/fs/cgroup/unified/memory.max", "104857600\n");
  BOOST_CHECK_EQUAL(machine.available(), 100 * mib);
}

// What was taken already is no longer free, but within the group's limit as before.
BOOST_AUTO_TEST_CASE(what_is_held_counts_once) {
  const Machine machine;
  BOOST_CHECK_EQUAL(available_host_memory(50 * mib, machine.path()).bytes, 2050 * mib);
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", "104857600\n");
  BOOST_CHECK_EQUAL(available_host_memory(50 * mib, machine.path()).bytes, 100 * mib);
}

// A container without a namespace of its own sees the path outside and its group as the root.
BOOST_AUTO_TEST_CASE(a_container_that_sees_the_path_outside) {
  const Machine machine;
  machine.write("proc/self/cgroup", "4:memory:/docker/0123\n");
  machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "104857600\n");
  BOOST_CHECK_EQUAL(machine.available(), 100 * mib);
}

BOOST_AUTO_TEST_CASE(what_makes_no_sense_limits_nothing) {
  const Machine machine;
  machine.write("proc/self/cgroup", "nonsense\n::\n0:\n4:memory\n0::/a\n");
  machine.write("sys/fs/cgroup/a/memory.max", "-5\n");
  machine.write("sys/fs/cgroup/memory.max", "");
  BOOST_CHECK_EQUAL(machine.available(), 2000 * mib);
  machine.write("proc/meminfo", "MemAvailable:\n");
  BOOST_CHECK_GT(machine.available(), 0U);  // all of this machine's
  BOOST_CHECK_GT(available_host_memory().bytes, 0U);
}
