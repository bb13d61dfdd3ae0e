#include "actors/schedule/generators/dual_pipe.hpp"

#include <deque>

namespace collie {

namespace {

class DualPipeWriter {
 public:
  DualPipeWriter(std::vector<Action>& program, DualPipeShape shape, Lane& near, Lane& far)
      : program_(program), shape_(shape), near_(near), far_(far) {}

  void write() {
    const int half = shape_.half;
    const int distance = shape_.distance;
    for (int i = 0; i < 2 * (half - distance - 1); ++i) near_.forward();  // step 1
    for (int i = 0; i < distance + 1; ++i) {                              // step 2
      near_.forward();
      far_.forward();
    }
    for (int i = 0; i < half - distance - 1; ++i) {  // step 3
      input(far_);
      weight();
      far_.forward();
    }
    overlapped();                                    // step 4
    for (int i = 0; i < half - distance - 1; ++i) {  // step 5
      far_.backward();
      pair(far_, near_);
    }
    last_backwards();                                // step 6
    for (int i = 0; i < half - distance - 1; ++i) {  // step 7
      weight();
      input(near_);
    }
    for (int i = 0; i < distance + 1; ++i) weight();  // step 8
  }

 private:
  void overlapped() {
    for (int i = 0; i < shape_.overlaps; ++i) {
      if (i == 0 && shape_.distance == shape_.half - 1) {
        // In the middle this B needs the F right before it, of the same micro-batches' turn.
        near_.forward();
        far_.backward();
      } else {
        pair(near_, far_);
      }
      pair(far_, near_);
    }
  }
  // Full backwards, and from the middle of them on only input gradients.
  void last_backwards() {
    const int count = shape_.distance + 1;
    bool split = false;
    for (int i = 0; i < count; ++i) {
      if (i == count / 2 && shape_.distance % 2 == 1) split = true;
      backward(far_, split);
      if (i == count / 2 && shape_.distance % 2 == 0) split = true;
      backward(near_, split);
    }
  }
  void backward(Lane& lane, bool split) {
    if (split) {
      input(lane);
    } else {
      lane.backward();
    }
  }
  void pair(Lane& forward, Lane& backward) {
    forward.forward();
    program_.back().overlaps_next = true;
    backward.backward();
  }
  void input(Lane& lane) {
    lane.input();
    pending_.push_back(&lane);
  }
  void weight() {
    pending_.front()->weight();
    pending_.pop_front();
  }

  std::vector<Action>& program_;
  DualPipeShape shape_;
  Lane& near_;
  Lane& far_;
  std::deque<Lane*> pending_;  // an entry for each I without its W
};

}  // namespace

void append_dual_pipe(std::vector<Action>& program, DualPipeShape shape, Lane& near, Lane& far) {
  DualPipeWriter(program, shape, near, far).write();
}

}  // namespace collie
