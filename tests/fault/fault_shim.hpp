// Stands between a program and those calls of the C library that change a disk: counts them, writes
// them down, and at one of them stops the process or lets the call fail. A shared library: linked
// (the test arms it in a forked child) or preloaded (COLLIE_FAULT says what collie_fault_arm
// would).
#pragma once

enum class FaultAction : int {
  none,         // counts and logs
  kill_after,   // the at-th call is made, then the process is killed
  tear,         // the at-th call, a write, writes its first half, then the process is killed
  fail_once,    // the at-th call fails with EIO
  disk_full,    // from the at-th on all that need space fail with ENOSPC, a write after its half
  device_gone,  // from the at-th on all fail with EIO
};

struct FaultPlan {
  char root[1024] = {};  // calls on what is under this path count; others pass
  FaultAction action = FaultAction::none;
  int at = 0;               // the first call is 1
  int log_descriptor = -1;  // a line a call that was made: name, result, path, second path; by tabs
  bool no_exchange = false;  // renameat2 with flags fails with EINVAL, as on some file systems
};

// From here on calls count, from 1. No fsync reaches the device: who is only killed needs none.
extern "C" void collie_fault_arm(const FaultPlan* plan);
extern "C" void collie_fault_disarm();
