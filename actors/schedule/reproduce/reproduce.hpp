// Published figures beside what our generators, simulator and validator give for them. Pure.
#pragma once

#include <string>
#include <vector>

#include "runtime/result.hpp"

namespace collie {

struct ReproducedRow {
  std::string what;       // "Zero Bubble, Table 5: ZB-H1, 1.5B, 24 micro-batches"
  std::string published;  // as printed there
  std::string ours;       // in the same form
  bool passes = false;    // the same to the digits printed
  std::string note;       // a convention, or what the figure is of; or empty
};

struct ReproducedTable {
  std::string title;
  std::vector<ReproducedRow> rows;
};

// All tables in order. A figure that cannot be had is a row that does not pass and says why.
std::vector<ReproducedTable> reproduce_all();

ReproducedTable reproduce_zero_bubble();          // Table 5, 72 cells
ReproducedTable reproduce_dual_pipe();            // bubbles and peaks of DualPipe's README
ReproducedTable reproduce_controllable_memory();  // peaks of V-Half and V-Min
ReproducedTable reproduce_closed_forms();         // bubbles of GPipe, 1F1B, interleaved, BFS, ZB
ReproducedTable reproduce_versions();             // staleness and weight versions
ReproducedTable reproduce_credits();              // least credit, tagged and FIFO

}  // namespace collie
