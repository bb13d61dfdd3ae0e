#include "actors/callbacks/ready.hpp"

namespace collie {

namespace {

class NonFiniteWatch final : public Callback {
 public:
  NonFiniteWatch(bool skips, std::int64_t max_skipped) : skips_(skips), max_skipped_(max_skipped) {}

  std::string_view name() const override { return "non_finite"; }

  NonFiniteAction on_non_finite(std::int64_t, const Error&) override {
    if (!skips_) return NonFiniteAction::stop;
    ++total_;
    return ++in_a_row_ > max_skipped_ ? NonFiniteAction::fail : NonFiniteAction::skip;
  }
  void on_step(const StepEvent&) override { in_a_row_ = 0; }

  Json on_save_checkpoint() override { return {{"in_a_row", in_a_row_}, {"total", total_}}; }
  Status on_load_checkpoint(const Json& state) override {
    if (!state.is_object()) return ok_status();
    COLLIE_TRY(const JsonReader reader, JsonReader::open(state, "checkpoint", "non_finite"));
    COLLIE_TRY(in_a_row_, reader.get_int("in_a_row", 0, std::int64_t{1} << 53));
    COLLIE_TRY(total_, reader.get_int("total", 0, std::int64_t{1} << 53));
    return ok_status();
  }

 private:
  bool skips_;
  std::int64_t max_skipped_;
  std::int64_t in_a_row_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

std::shared_ptr<Callback> make_non_finite_watch(bool skips, std::int64_t max_skipped) {
  return std::make_shared<NonFiniteWatch>(skips, max_skipped);
}

}  // namespace collie
