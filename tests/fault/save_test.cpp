// Saves that are stopped or refused at every single call that changes the disk. Killing right
// before a call leaves what killing right after the one before leaves, so each call is a crash
// point once.
#define BOOST_TEST_MODULE save_faults
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <span>

#include "tests/fault/disk_order.hpp"
#include "tests/fault/fault_shim.hpp"
#include "tests/fault/save_scene.hpp"

using namespace collie;
using namespace collie::test;

namespace {

struct Scene {
  const char* name = "";
  bool has_old = true;      // checkpoints 1 and 2 and, where with_model, a model
  std::int64_t step = 3;    // that is saved
  bool with_model = false;  // is saved as well
  bool no_exchange = false;
};

constexpr Scene scenes[] = {
    {"the next checkpoint and the model", true, 3, true, false},
    {"the first checkpoint", false, 3, false, false},
    {"the last checkpoint again", true, 2, false, false},
    {"again without exchange", true, 2, false, true},
};

struct Outcome {
  int status = 0;       // as waitpid gives it
  std::string message;  // of the error
  std::string log;

  bool succeeded() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  bool refused() const { return WIFEXITED(status) && WEXITSTATUS(status) == 2; }
  bool killed() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }
};

class Fixture {
 public:
  Fixture() {
    for (const std::int64_t step : {1, 2}) {
      save_unharmed(template_of(false), step, false);
      save_unharmed(template_of(true), step, true);
    }
  }

  // A fresh copy of the scene's run directory.
  std::string set_up(const Scene& scene) const {
    std::filesystem::remove_all(root());
    std::filesystem::create_directories(root());
    const std::string run = root() + "/runs/tiny";
    if (!scene.has_old) return run;
    std::filesystem::create_directory(root() + "/runs");
    std::filesystem::copy(template_of(scene.with_model), run,
                          std::filesystem::copy_options::recursive);
    return run;
  }

  // The scene's save in a process of its own.
  Outcome save(const Scene& scene, const std::string& run, FaultAction action, int at) {
    FaultPlan plan;
    root().copy(plan.root, sizeof plan.root - 1);
    plan.action = action;
    plan.at = at;
    plan.no_exchange = scene.no_exchange;
    model_.fill(99);
    const int log = memfd_create("log", 0);
    const int message = memfd_create("message", 0);
    BOOST_REQUIRE(log >= 0 && message >= 0);
    plan.log_descriptor = log;
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) save_and_exit(scene, run, plan, message);
    Outcome outcome;
    BOOST_REQUIRE_EQUAL(waitpid(child, &outcome.status, 0), child);
    outcome.log = take(log);
    outcome.message = take(message);
    return outcome;
  }

  void save_unharmed(const std::string& run, std::int64_t step, bool with_model) {
    FaultPlan plan;  // nothing but that no sync reaches the device
    templates_.path().copy(plan.root, sizeof plan.root - 1);
    collie_fault_arm(&plan);
    model_.fill(static_cast<std::uint64_t>(step));
    const Status saved = model_.save(run, step, with_model);
    collie_fault_disarm();
    BOOST_REQUIRE_EQUAL(message_of(saved), "no error");
  }

  std::string root() const { return templates_.file("case"); }
  TinyModel& model() { return model_; }

 private:
  [[noreturn]] void save_and_exit(const Scene& scene, const std::string& run, const FaultPlan& plan,
                                  int message) const {
    collie_fault_arm(&plan);
    const Status saved = model_.save(run, scene.step, scene.with_model);
    collie_fault_disarm();
    if (saved.ok()) _exit(0);
    const std::string& text = saved.error().message;
    const bool written = write(message, text.data(), text.size()) > 0;
    _exit(written ? 2 : 3);
  }
  std::string template_of(bool with_model) const {
    return templates_.file(with_model ? "old_with_model" : "old");
  }
  static std::string take(int descriptor) {
    std::string text(static_cast<std::size_t>(lseek(descriptor, 0, SEEK_END)), '\0');
    const ssize_t size = pread(descriptor, text.data(), text.size(), 0);
    close(descriptor);
    BOOST_REQUIRE_EQUAL(size, static_cast<ssize_t>(text.size()));
    return text;
  }

  TemporaryDirectory templates_;
  TinyModel model_;
};

// Checks one harmed save; the names it may leave are those of before and those of after.
class Case {
 public:
  Case(Fixture& fixture, const Scene& scene) : fixture_(fixture), scene_(scene) {
    const std::string run = fixture.set_up(scene);
    before_ = read_run(run);
    const Outcome outcome = fixture.save(scene, run, FaultAction::none, 0);
    BOOST_TEST_INFO(outcome.message);
    BOOST_REQUIRE(outcome.succeeded());
    calls_ = parse_disk_log(outcome.log);
    after_ = read_run(run);
    BOOST_REQUIRE(before_ != after_);
  }
  const std::vector<DiskCall>& calls() const { return calls_; }

  void check(FaultAction action, int at) {
    const std::string run = fixture_.set_up(scene_);
    const Outcome outcome = fixture_.save(scene_, run, action, at);
    check_end(outcome, action);
    const RunContent left = read_run(run);
    if (outcome.succeeded()) BOOST_TEST((left == after_));
    if (action == FaultAction::disk_full && !scene_.no_exchange) check_tidy(left);
    BOOST_REQUIRE(remove_leftovers_when_due(run).ok());
    check_names(read_run(run));
    check_found(run);
    fixture_.save_unharmed(run, 5, scene_.with_model);
    check_tidy(read_run(run));
    const auto found = find_latest_checkpoint(run);
    BOOST_TEST((found.ok() && found->checkpoint && found->checkpoint->step() == 5));
  }

 private:
  static void check_end(const Outcome& outcome, FaultAction action) {
    if (action == FaultAction::kill_after || action == FaultAction::tear) {
      BOOST_TEST(outcome.killed());
      return;
    }
    BOOST_TEST((outcome.refused() || outcome.succeeded()));
    if (!outcome.refused()) return;
    BOOST_TEST(outcome.message.find('\n') == std::string::npos);
    BOOST_TEST(outcome.message.find("/case") != std::string::npos);
  }

  // What a restarted training does first. Only a file system without exchange needs it before the
  // reading of the checkpoints.
  Status remove_leftovers_when_due(const std::string& run) const {
    return scene_.no_exchange ? remove_leftovers(run) : ok_status();
  }
  static void check_tidy(const RunContent& content) {
    for (const auto& [name, files] : content) BOOST_TEST(!is_temporary(name), name << " is left");
  }
  // Under a final name is what was there before or what was to be there, byte for byte.
  void check_names(const RunContent& content) const {
    for (const auto& [name, files] : content) {
      if (is_temporary(name)) continue;
      const auto old = before_.find(name);
      const auto current = after_.find(name);
      const bool whole = (old != before_.end() && old->second == files) ||
                         (current != after_.end() && current->second == files);
      BOOST_TEST(whole, name << " is neither the old one nor the new one");
    }
    if (before_.contains("model")) BOOST_TEST(content.contains("model"));
  }
  void check_found(const std::string& run) {
    const auto found = find_latest_checkpoint(run);
    BOOST_REQUIRE_EQUAL(message_of(found), "no error");
    BOOST_TEST(found->damaged.empty());
    BOOST_TEST((found->checkpoint || !scene_.has_old));
    if (!found->checkpoint) return;
    const std::int64_t step = found->checkpoint->step();
    BOOST_TEST((step == scene_.step || step == 2));
    BOOST_REQUIRE_EQUAL(message_of(fixture_.model().load(*found->checkpoint)), "no error");
  }

  Fixture& fixture_;
  Scene scene_;
  RunContent before_, after_;
  std::vector<DiskCall> calls_;
};

void check_every_call(FaultAction action, std::span<const Scene> in_scenes = scenes,
                      std::string_view only = {}) {
  Fixture fixture;
  for (const Scene& scene : in_scenes) {
    Case test(fixture, scene);
    const int count = static_cast<int>(test.calls().size());
    BOOST_TEST(count > 40);
    for (int at = 1; at <= count; ++at) {
      const DiskCall& call = test.calls()[static_cast<std::size_t>(at) - 1];
      if (!only.empty() && call.name != only) continue;
      BOOST_TEST_CONTEXT(scene.name << ", call " << at << ": " << call.name << " " << call.path) {
        test.check(action, at);
      }
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(killed_after_each_call) {
  check_every_call(FaultAction::kill_after);
}

BOOST_AUTO_TEST_CASE(killed_inside_each_write) {
  check_every_call(FaultAction::tear, std::span(scenes).first(1), "write");
}

BOOST_AUTO_TEST_CASE(each_call_fails_once) {
  check_every_call(FaultAction::fail_once);
}

BOOST_AUTO_TEST_CASE(the_disk_is_full_from_each_call_on) {
  check_every_call(FaultAction::disk_full);
}

BOOST_AUTO_TEST_CASE(the_device_is_gone_from_each_call_on) {
  check_every_call(FaultAction::device_gone, std::span(scenes).first(2));
}

// Each sync is needed: without those of one file, something unsynced would get a final name. Some
// files are synced under a temporary name of their own and again in the finished directory.
BOOST_AUTO_TEST_CASE(what_is_published_was_synced) {
  const auto final_name = [](const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return path.substr(0, std::max(slash, path.find(".tmp-", slash)));
  };
  Fixture fixture;
  for (const Scene& scene : scenes) {
    const std::vector<DiskCall> calls = Case(fixture, scene).calls();
    for (const std::string& line : DiskOrder::violations(calls)) {
      BOOST_ERROR(scene.name << ": " << line);
    }
    for (const DiskCall& sync : calls) {
      if (sync.name != "fsync") continue;
      std::vector<DiskCall> fewer = calls;
      std::erase_if(fewer, [&](const DiskCall& call) {
        return call.name == "fsync" && final_name(call.path) == final_name(sync.path);
      });
      BOOST_TEST(!DiskOrder::violations(fewer).empty(), "nobody misses the sync of " << sync.path);
    }
  }
}
