// Reads the shim's log and says what a loss of power could damage: a lost sync is not seen by
// killing a process, whose writes the kernel keeps.
#pragma once

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace collie::test {

// One call that changed the disk (or tried to).
struct DiskCall {
  std::string name;
  bool ok = false;
  std::string path;
  std::string second;  // where a rename goes
};

inline std::vector<DiskCall> parse_disk_log(std::string_view log) {
  std::vector<DiskCall> calls;
  while (!log.empty()) {
    std::vector<std::string> fields;
    std::string_view line = log.substr(0, log.find('\n'));
    log.remove_prefix(line.size() + 1);
    for (std::size_t tab = 0; tab != std::string_view::npos; line.remove_prefix(tab + 1)) {
      tab = line.find('\t');
      fields.emplace_back(line.substr(0, tab));
      if (tab == std::string_view::npos) break;
    }
    calls.push_back({fields.at(0), !fields.at(1).starts_with('-'), fields.at(2), fields.at(3)});
  }
  return calls;
}

// Follows which files and directories hold what is not on the device yet. A temporary name (.tmp-)
// may hold anything; what gets a final name must be on the device before, and the final name itself
// before the next one is given (LATEST must not name what could still vanish).
class DiskOrder {
 public:
  // What is wrong with these calls, a line each.
  static std::vector<std::string> violations(const std::vector<DiskCall>& calls) {
    DiskOrder order;
    for (const DiskCall& call : calls) {
      if (call.ok) order.apply(call);
    }
    for (const std::string& path : order.unsynced_) {
      if (!is_temporary(path)) order.found_.push_back(path + " is never synced");
    }
    return order.found_;
  }

 private:
  static bool is_temporary(std::string_view path) {
    return path.find(".tmp-") != std::string_view::npos;
  }
  static std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }
  static bool is_below(std::string_view path, std::string_view directory) {
    return path.starts_with(directory) &&
           (path.size() == directory.size() || path[directory.size()] == '/');
  }

  void apply(const DiskCall& call) {
    if (call.name == "create" || call.name == "mkdir") {
      unsynced_.insert(call.path);
      unsynced_.insert(parent(call.path));
    } else if (call.name == "write") {
      unsynced_.insert(call.path);
    } else if (call.name == "fsync") {
      unsynced_.erase(call.path);
      renamed_in_.erase(call.path);
    } else if (call.name == "remove") {
      unsynced_.erase(call.path);
    } else {
      rename(call.path, call.second);
    }
  }

  void rename(const std::string& from, const std::string& to) {
    if (!is_temporary(to)) publish(from, to);
    std::set<std::string> moved;
    for (const std::string& path : unsynced_) {
      moved.insert(is_below(path, from) ? to + path.substr(from.size()) : path);
    }
    unsynced_ = std::move(moved);
    if (is_temporary(to) && !is_temporary(from)) return;  // retired: if it comes back, it is whole
    unsynced_.insert(parent(to));
    if (!is_temporary(to)) renamed_in_.insert(parent(to));
  }

  void publish(const std::string& from, const std::string& to) {
    for (const std::string& path : unsynced_) {
      if (is_below(path, from)) found_.push_back(fmt::format("{} before {} is synced", to, path));
    }
    for (const std::string& directory : renamed_in_) {
      found_.push_back(fmt::format("{} before the last name in {} is synced", to, directory));
    }
  }

  std::set<std::string> unsynced_;
  std::set<std::string> renamed_in_;  // directories with a final name that is not on the device
  std::vector<std::string> found_;
};

}  // namespace collie::test
